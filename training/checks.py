"""Settings tried out before the first photograph is read: a wrong one must not be found after hours of training."""

import math

import torch

from common.config import Config
from common.errors import InputError
from distributed.processes import world_size
from losses import build_objective
from models.embedder import Embedder, build_embedder
from recipes.metric import checked_sizes
from training.optimisers import build_optimizer, build_schedule


def check_settings(config: Config, *sections: str) -> None:
    """Build everything that the settings of both stages name, without memory and without drawing. Raises InputError.

    sections: the stages that will be trained, "pretext" or "train", whose batches the processes must be able to share.
    """
    for section in sections:
        _check_batch(config, section)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        embedder = build_embedder(config.model)
        for side in checked_sizes(config.train.image_sizes, config.model.image_size):
            _check_size(embedder, side, config.model.backbone)
        if config.train.whiten and config.model.embedding_norm:
            raise InputError(
                f"train.whiten is {config.train.whiten} and model.embedding_norm true: a BatchNorm behind the embedding layer"
                f" would undo the whitening; use one of them"
            )
        if config.train.terms:
            build_objective(config.train.terms, config.model.embedding_size, identities=2)
    for stage in (config.pretext, config.train):
        build_optimizer(stage.optimizer, [torch.nn.Parameter(torch.zeros(1))], stage.lr)
        if stage.epochs:
            build_schedule(stage.schedule, stage.epochs)


def _check_size(embedder: Embedder, side: int, backbone: str) -> None:
    """Raise InputError if the network, made for images of another size, cannot read those of `side` pixels."""
    try:
        embedder(torch.empty(2, 3, side, side))
    except RuntimeError as error:
        raise InputError(
            f"train.image_sizes holds {side}, and {backbone} reads only images of model.image_size: its last layers weigh the"
            f" map place by place; leave train.image_sizes empty"
        ) from error


def _check_batch(config: Config, section: str) -> None:
    stage = getattr(config, section)
    factors = {"batch_size": stage.batch_size}
    if section == "train":
        factors["num_instances"] = stage.num_instances
    images = math.prod(factors.values())
    if stage.epochs and images % world_size():
        product = " x ".join(f"{section}.{name} = {value}" for name, value in factors.items())
        raise InputError(
            f"{product} is {images} images a batch, which {world_size()} processes cannot share evenly; it should be a"
            f" multiple of {world_size()}"
        )
