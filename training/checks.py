"""Settings tried out before the first photograph is read: a wrong one must not be found after hours of training."""

import math

import torch

from config import Config
from errors import InputError
from losses import build_objective
from models.embedder import build_embedder
from processes import count
from training.optim import build_optimizer, build_schedule


def check_settings(config: Config, *sections: str) -> None:
    """Build everything that the settings of both stages name, without memory and without drawing. Raises InputError.

    sections: the stages that will be trained, "pretext" or "train", whose batches the processes must be able to share.
    """
    for section in sections:
        _check_batch(config, section)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        build_embedder(config.model)
        if config.train.terms:
            build_objective(config.train.terms, config.model.embedding_size, identities=2)
    for stage in (config.pretext, config.train):
        build_optimizer(stage.optimizer, [torch.nn.Parameter(torch.zeros(1))], stage.lr)
        if stage.epochs:
            build_schedule(stage.schedule, stage.epochs)


def _check_batch(config: Config, section: str) -> None:
    stage = getattr(config, section)
    factors = {"batch_size": stage.batch_size}
    if section == "train":
        factors["num_instances"] = stage.num_instances
    images = math.prod(factors.values())
    if stage.epochs and images % count():
        product = " x ".join(f"{section}.{name} = {value}" for name, value in factors.items())
        raise InputError(
            f"{product} is {images} images a batch, which {count()} processes cannot share evenly; it should be a multiple of"
            f" {count()}"
        )
