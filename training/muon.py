"""Muon: steps that move every direction of a matrix alike (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon)."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of the iteration, as published: chosen to lift small singular values fast, at the price of ending between 0.7 and 1.2."""


class Muon(torch.optim.Adam):
    """1x1 convolutions, which are matrices, step along their momentum made orthogonal; all other weights as Adam does.

    matrix_lr: learning rate of the matrices in units of `lr`. At 0.2 their entries move about as far as Adam moves its own
        (Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982).
    momentum: of the matrices, in Nesterov's form.
    rounds: of the iteration in `orthogonal`, at least 1.
    every: steps from one update of a matrix to its next, which is as much longer; at least 1. The matrices take turns, so
        that each step makes but a share of them orthogonal; their momentum takes in every gradient.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        matrix_lr: float,
        momentum: float,
        rounds: int,
        every: int,
        betas: tuple[float, float],
    ):
        super().__init__(groups, lr=lr, betas=betas, fused=True)
        self.matrix_lr, self.momentum, self.rounds, self.every = matrix_lr, momentum, rounds, every

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given
        rates = {weight: group["lr"] for group in self.param_groups for weight in group["params"] if is_matrix(weight)}
        matrices = [weight for weight in rates if weight.grad is not None]
        gradients = [weight.grad for weight in matrices]
        for weight in matrices:
            weight.grad = None  # Adam passes over it
        super().step(closure)
        alike = defaultdict(list)  # matrices of one shape are made orthogonal together
        for index, (weight, gradient) in enumerate(zip(matrices, gradients, strict=True)):
            weight.grad = gradient
            state = self.state[weight]
            if not state:
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))
            state["momentum"].mul_(self.momentum).add_(gradient)
            state["step"] += 1
            if (int(state["step"]) + index) % self.every == 0:
                direction = torch.add(gradient, state["momentum"], alpha=self.momentum)
                alike[weight.shape].append((weight, direction.flatten(1)))
        for (rows, columns, *_), pairs in alike.items():
            steps = orthogonal(torch.stack([direction for _, direction in pairs]), self.rounds)
            length = self.matrix_lr * self.every * max(rows, columns) ** 0.5  # in units of the learning rate
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.sub_(step.view_as(weight), alpha=rates[weight] * length)


def is_matrix(weight: Tensor) -> bool:
    """Whether these are the weights [D, C, 1, 1] of a 1x1 convolution over several channels."""
    return weight.ndim == 4 and weight.shape[1] > 1 and weight.shape[2:] == (1, 1)


def orthogonal(matrices: Tensor, rounds: int) -> Tensor:
    """Matrices float32 [N, D, C] -> the nearest ones with orthonormal rows or columns, roughly.

    A Newton-Schulz iteration in place of a singular value decomposition. Each round multiplies by a polynomial of the
    matrix's own Gram matrix, and all of these commute; so the rounds are done on the smaller Gram matrix alone, and their
    product is applied once. After the published five rounds singular values from a thousandth of a matrix's norm on lie
    near 1; after three, which cost half, those from a fiftieth on.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    matrices = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    gram = matrices.mT @ matrices if tall else matrices @ matrices.mT
    factor = product = polynomial(gram)
    for _ in range(rounds - 1):
        gram = factor @ gram @ factor
        factor = polynomial(gram)
        product = factor @ product
    return matrices @ product if tall else product @ matrices


def polynomial(gram: Tensor) -> Tensor:
    """What one round multiplies a matrix by, of its Gram matrix [N, D, D] -> [N, D, D]."""
    a, b, c = QUINTIC
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor
