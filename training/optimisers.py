"""Optimisers by name, and learning-rate schedules as pure functions of the progress: nothing in them to save or restore."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from common.errors import InputError
from common.registry import Registry
from training.muon import Muon

Schedule = Callable[[float], float]  # epochs done, with fraction -> factor on the base learning rate


def adam(parameters: list[nn.Parameter], lr: float, weight_decay: float = 0.0, beta1: float = 0.9, beta2: float = 0.999):
    """Kingma and Ba, arXiv 1412.6980."""
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=True)


def adamw(parameters: list[nn.Parameter], lr: float, weight_decay: float = 0.01, beta1: float = 0.9, beta2: float = 0.999):
    """Adam with decoupled weight decay: Loshchilov and Hutter, arXiv 1711.05101. Matrices decay, vectors do not."""
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), fused=True)


def sgd(parameters: list[nn.Parameter], lr: float, momentum: float = 0.9, weight_decay: float = 0.0):
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def muon(
    parameters: list[nn.Parameter],
    lr: float,
    matrix_lr: float = 1.0,
    momentum: float = 0.95,
    rounds: int = 5,
    every: int = 1,
    beta1: float = 0.9,
    beta2: float = 0.999,
):
    """Orthogonal momentum for 1x1 convolutions, Adam for the rest: see `training.muon.Muon`."""
    return Muon(parameters, lr, matrix_lr, momentum, rounds, every, betas=(beta1, beta2))


def constant(epochs: int) -> Schedule:
    """The base rate throughout."""
    return lambda epoch: 1.0


def multistep(epochs: int, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """Times `gamma` from each milestone epoch on."""
    return lambda epoch: gamma ** sum(epoch >= milestone for milestone in milestones)


def one_cycle(epochs: int, warmup: float = 0.2, start: float = 0.04, end: float = 1e-3) -> Schedule:
    """Up from `start` during the first `warmup` share, then down to `end`, both along a cosine (Smith and Topin,
    "Super-Convergence", arXiv 1708.07120)."""
    if not 0 < warmup < 1:
        raise ValueError(f"warmup is {warmup}; it should lie between 0 and 1")

    def factor(epoch: float) -> float:
        share = epoch / epochs
        if share < warmup:
            return _cosine(start, 1.0, share / warmup)
        return _cosine(1.0, end, (share - warmup) / (1 - warmup))

    return factor


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2


OPTIMIZERS = Registry("optimizer", {"adam": adam, "adamw": adamw, "muon": muon, "sgd": sgd})
SCHEDULES = Registry("schedule", {"constant": constant, "multistep": multistep, "one_cycle": one_cycle})


def build_optimizer(spec: dict, parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """The optimiser that `spec` = {name, options} describes."""
    return OPTIMIZERS.build(*_name_and_options(spec, "optimizer"), parameters=parameters, lr=lr)


def build_schedule(spec: dict, epochs: int) -> Schedule:
    """The schedule that `spec` = {name, options} describes."""
    return SCHEDULES.build(*_name_and_options(spec, "schedule"), epochs=epochs)


def _name_and_options(spec: dict, kind: str) -> tuple[str, dict]:
    if not isinstance(spec.get("name"), str):
        raise InputError(f"{kind} is {spec}; it should have a name, such as {{name: adam}} or {{name: constant}}")
    return spec["name"], {key: value for key, value in spec.items() if key != "name"}
