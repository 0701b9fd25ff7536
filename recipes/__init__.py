"""Recipes: training methods, each an object that the one loop in training/engine.py drives."""

from common.registry import Registry
from recipes.distill import Distill
from recipes.metric import Metric
from recipes.pretext import Pretext
from recipes.quantise import Quantise
from recipes.semi_siamese import SemiSiamese

PRETEXT_RECIPES = Registry("pretext recipe", {"pretext": Pretext})
"""Methods of stage 1; their weight files hold a backbone with heads."""

TRAIN_RECIPES = Registry(
    "training recipe", {"metric": Metric, "distill": Distill, "quantise": Quantise, "semi_siamese": SemiSiamese}
)
"""Methods of stage 2; their weight files hold an embedder."""
