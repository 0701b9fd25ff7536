"""Tiny data sets and settings for tests: patterned squares in place of faces, a few thousand weights in place of millions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.config import ModelConfig, make_config
from common.errors import InputError
from models.backbones.timm_network import package

LIGHT = {
    "attention": {"backbone": {"name": "attention", "width": 4}},
    "ghostnet": {"backbone": {"name": "ghostnet", "width": 0.5}},
    "inception_resnet_v1": {
        "backbone": {"name": "inception_resnet_v1", "blocks": [1, 1, 1]},
        "image_size": 75,  # smaller it does not come
        "max_parameters": 30_000_000,
    },
    "lightcnn": {"backbone": {"name": "lightcnn", "blocks": [1, 1, 1, 1]}},
    "inception_resnet_v1 without norm": {
        "backbone": {"name": "inception_resnet_v1", "blocks": [1, 1, 1], "norm": False},
        "image_size": 75,
        "max_parameters": 30_000_000,
    },
    "mobilenet_v2": {"backbone": {"name": "mobilenet_v2", "width": 0.35}},
    "pocketnet": {"backbone": {"name": "pocketnet", "channels": 4, "cells": 5}},
    "pocketnet of cifar": {"backbone": {"name": "pocketnet", "genotype": "cifar", "channels": 4, "cells": 4}},
    "repvgg": {"backbone": {"name": "repvgg", "width": 0.25}},
    "resnet_ir": {"backbone": {"name": "resnet_ir", "units": [1, 1, 1, 1], "se": True}, "max_parameters": 30_000_000},
    "squeezenext": {"backbone": {"name": "squeezenext", "blocks": [1, 1, 2, 1]}},
    "rexnet": {"backbone": {"name": "rexnet", "se": True}},
    "tf_nas_a": {"max_parameters": 30_000_000},
    "timm": {"backbone": {"name": "timm", "network": "mobilenetv2_035"}},
    "vargfacenet": {"backbone": {"name": "vargfacenet", "width": 0.3}},
}
"""The settings of a lighter version of a backbone, and, by names of their own, of variants that are tested like backbones."""


def need_timm() -> None:
    """Skip the test if timm is not installed."""
    try:
        package()
    except InputError as absent:
        pytest.skip(f"NO TIMM: {absent}")


def light_model(backbone: str, **fields: Any) -> ModelConfig:
    """The settings of a model that is as quick to build and run as this backbone allows, and the fields given. A test of one
    whose package is not installed is skipped."""
    if backbone == "timm":
        need_timm()
    return make_config({"model": {"backbone": backbone, "image_size": 32, **LIGHT.get(backbone, {}), **fields}}).model


def draw_people(root: Path, people: int = 12, photographs: int = 5, side: int = 40, suffix: str = "png") -> Path:
    """root/<person>/<n>.<suffix>: each person is a smooth random pattern, each photograph of it is noisy and shifted."""
    random = np.random.default_rng(7)
    for person in range(people):
        folder = root / f"사람{person:02d}"  # Korean names: paths need not be ASCII
        folder.mkdir(parents=True)
        pattern = random.uniform(0, 255, size=(4, 4, 3)).repeat(side // 4 + 1, axis=0).repeat(side // 4 + 1, axis=1)
        for number in range(photographs):
            y, x = random.integers(4, size=2)
            pixels = pattern[y : y + side, x : x + side] + random.normal(0, 10, size=(side, side, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.{suffix}")
    return root


def tiny_settings(root: Path, results: Path, **overrides: str) -> list[str]:
    """Command-line options of a run of a few seconds on `draw_people`; keyword `train__epochs=3` overrides train.epochs."""
    options = {
        "name": "tiny",
        "results": str(results),
        "threads": 2,
        "precision": "fp32",
        "data.reader": "folder",
        "data.root": str(root),
        "data.reader.pairs": 40,
        "model.backbone": "small",
        "model.embedding_size": 16,
        "model.image_size": 24,
        "pretext.epochs": 2,
        "pretext.batch_size": 16,
        "pretext.lr": 0.001,
        "train.epochs": 3,
        "train.batch_size": 3,
        "train.num_instances": 3,
        "train.lr": 0.0005,
        "train.validate_every": 2,
        "train.save_every": 1,
        "train.recipe.whiten": 0,
        "train.augment.affine.rotation": 10,
        "train.augment.colour.brightness": 0.2,
        "train.augment.erasing.probability": 0.5,
        "train.terms.softmax.smoothing": 0.1,
        "train.terms.triplet.weight": 1.0,
        "train.terms.center.weight": 0.01,
        "evaluate.folds": 4,
        "evaluate.flip": "false",
    }
    options |= {name.replace("__", "."): value for name, value in overrides.items()}
    return [f"--{name}={value}" for name, value in options.items()]
