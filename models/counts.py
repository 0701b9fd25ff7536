"""How large a network is and how much it computes."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(module: nn.Module) -> int:
    """Number of trainable and frozen parameters; BatchNorm statistics are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(network: nn.Module, image_size: int) -> int:
    """Multiply-adds of the convolutions and matrix products of a network, in evaluation mode, for one image of `image_size`
    pixels a side. BatchNorm, activations and pooling are left out, as is usual."""
    device = next(network.parameters()).device
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 3, image_size, image_size, device=device))
    return counter.get_total_flops() // 2
