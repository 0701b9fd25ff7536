"""A moving average of the weights, which often generalises better than the last weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """Exponential moving average of a network's weights and BatchNorm statistics (Polyak and Juditsky, 1992; in this form
    Tarvainen and Valpola, "Mean teachers", arXiv 1703.01780).

    decay: share of the average that an update keeps, below 1. In the first updates it keeps less, (1 + n) / (10 + n) after
    n of them, so that the random start is soon forgotten. Being a module, it is saved and restored with its owner.
    """

    steps: Tensor  # int64 scalar: updates so far

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.network = deepcopy(network).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the present weights of `network`."""
        done = int(self.steps)
        decay = min(self.decay, (1 + done) / (10 + done))
        self.steps += 1
        for average, now in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(now, 1 - decay)
            else:
                average.copy_(now)  # a counter

    @contextmanager
    def applied_to(self, network: nn.Module) -> Iterator[None]:
        """For the body, `network` has the averaged weights."""
        own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.network.state_dict())
        try:
            yield
        finally:
            network.load_state_dict(own)
