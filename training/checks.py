"""Settings tried out before the first photograph is read: a wrong one must not be found after hours of training."""

import torch

from config import Config
from errors import InputError
from losses import build_objective
from models.embedder import Embedder, build_embedder
from recipes.metric import checked_sizes
from training.optim import build_optimizer, build_schedule


def check_settings(config: Config) -> None:
    """Build everything that the settings of both stages name, without memory and without drawing. Raises InputError."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        embedder = build_embedder(config.model)
        for side in checked_sizes(config.train.image_sizes, config.model.image_size):
            _check_size(embedder, side, config.model.backbone)
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
