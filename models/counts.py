"""How large a network is and how much it computes."""

import torch
from torch import nn


def parameter_count(module: nn.Module) -> int:
    """Number of trainable and frozen parameters; BatchNorm statistics are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(network: nn.Module, image_size: int) -> int:
    """Multiply-adds of the convolutions and linear layers of a network on the meta device for one image of `image_size`
    pixels a side. All else (BatchNorm, activations, pooling, products of attention) is left out, as is usual."""
    counts: list[int] = []

    def count(layer: nn.Module, _, output: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        counts.append(output.numel() * weight[0].numel())

    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.empty(1, 3, image_size, image_size, device="meta"))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return sum(counts)
