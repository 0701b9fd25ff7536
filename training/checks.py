"""Settings tried out before the first photograph is read: a wrong one must not be found after hours of training."""

import torch

from config import Config
from losses import build_objective
from models.embedder import build_embedder
from recipes.metric import checked_sizes
from training.optim import build_optimizer, build_schedule


def check_settings(config: Config) -> None:
    """Build everything that the settings of both stages name, without memory and without drawing. Raises InputError."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        build_embedder(config.model)
        if config.train.terms:
            build_objective(config.train.terms, config.model.embedding_size, identities=2)
    checked_sizes(config.train.image_sizes, config.model.image_size)
    for stage in (config.pretext, config.train):
        build_optimizer(stage.optimizer, [torch.nn.Parameter(torch.zeros(1))], stage.lr)
        if stage.epochs:
            build_schedule(stage.schedule, stage.epochs)
