"""Optimisers by name.

Each is built with parameter groups, dictionaries of the tensor library's optimisers: `params`, and for a group of its own
`weight_decay`, `lr_scale` (factor on the learning rate) or `clip` (largest gradient norm of the group).
"""

from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat

from common.registry import Registry
from training.muon import Muon

Groups = list[dict[str, Any]]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]  # of a running mean


def adam(
    groups: Groups, lr: float, weight_decay: NonNegativeFloat = 0.0, beta1: Decay = 0.9, beta2: Decay = 0.999
) -> torch.optim.Optimizer:
    """Kingma and Ba, arXiv 1412.6980."""
    return torch.optim.Adam(groups, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=True)


def adamw(
    groups: Groups, lr: float, weight_decay: NonNegativeFloat = 0.01, beta1: Decay = 0.9, beta2: Decay = 0.999
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay: Loshchilov and Hutter, arXiv 1711.05101. Matrices decay, vectors do not."""
    split: Groups = []
    for group in groups:
        matrices = [parameter for parameter in group["params"] if parameter.ndim > 1]
        vectors = [parameter for parameter in group["params"] if parameter.ndim <= 1]
        split += [{"weight_decay": weight_decay, **group, "params": matrices}, {**group, "params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in split if group["params"]], lr=lr, betas=(beta1, beta2), fused=True)


def sgd(groups: Groups, lr: float, momentum: Decay = 0.9, weight_decay: NonNegativeFloat = 0.0) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def muon(
    groups: Groups,
    lr: float,
    matrix_lr: PositiveFloat = 1.0,
    momentum: Decay = 0.95,
    rounds: Annotated[int, Field(ge=1, le=100)] = 5,
    every: Annotated[int, Field(ge=1, le=1000)] = 1,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
) -> torch.optim.Optimizer:
    """Orthogonal momentum for 1x1 convolutions, Adam for the rest: see `training.muon.Muon`."""
    return Muon(groups, lr, matrix_lr, momentum, rounds, every, betas=(beta1, beta2))


OPTIMIZERS = Registry("optimizer", {"adam": adam, "adamw": adamw, "muon": muon, "sgd": sgd})
"""Built with `groups` and `lr`, the base learning rate."""


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the rate, times its own `lr_scale` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float) -> None:
    """Shorten the gradient to a norm of at most `limit` (0: any); a group with a `clip` of its own is clipped by itself."""
    together = []
    for group in optimizer.param_groups:
        if "clip" not in group:
            together += group["params"]
        elif group["clip"]:
            torch.nn.utils.clip_grad_norm_(group["params"], group["clip"])
    if limit and together:
        torch.nn.utils.clip_grad_norm_(together, limit)
