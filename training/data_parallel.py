"""A recipe trained by several processes as if by one."""

from collections.abc import Callable

import torch
from torch.nn.parallel import DistributedDataParallel

from distributed.batch_norm import synchronise
from distributed.processes import barrier, world_size
from recipes.recipe import Batch, Outcome, Recipe


def distribute(recipe: Recipe, device: torch.device, sync_norm: bool) -> Callable[[Batch], Outcome]:
    """The step of a recipe for this process's share of a batch: one process's own, else with gradients averaged over all.

    Every process should have the same recipe. The model sees the share, so its BatchNorms are synchronised unless
    `sync_norm` is false; what else the recipe trains sees the gathered batch.
    """
    if world_size() == 1:
        return recipe
    if sync_norm:
        for network in recipe.image_networks():
            synchronise(network, device)
    barrier()  # none may write before all have read what is there
    # Buffers are either synchronised or the leading process's own affair: without sync_norm its statistics are what ships.
    return DistributedDataParallel(recipe, forward_sync_buffers=False)
