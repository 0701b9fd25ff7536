"""Recipes: training methods, each an object that the one loop in training/engine.py drives."""

from recipes.metric import Metric
from recipes.pretext import Pretext
from registry import Registry

RECIPES = Registry(
    "recipe",
    {
        "pretext": Pretext,
        "metric": Metric,
    },
)
