"""BatchNorm folded into the layers before it, and branches into one: the same embeddings from fewer passes over memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

FUSE: dict[type[nn.Module], Callable[..., tuple[nn.Parameter, nn.Parameter]]] = {
    nn.Conv2d: fuse_conv_bn_weights,
    nn.Linear: fuse_linear_bn_weights,
}


class Tracer(fx.Tracer):
    """Takes every convolution and BatchNorm as one step, also one that computes in its own way, and networks that it cannot
    look into."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        whole = isinstance(module, (*FUSE, _BatchNorm)) or not getattr(module, "traceable", True)
        return whole or super().is_leaf_module(module, name)


def fold_parts(network: nn.Module) -> None:
    """Have every module of a network in evaluation mode that has a method `fold` take its own parts together."""
    for module in list(network.modules()):
        fold = getattr(module, "fold", None)
        if callable(fold):
            fold()


@torch.no_grad()
def folded(network: nn.Module) -> nn.Module:
    """A copy of `network` for inference, equal to rounding, without the BatchNorms that stand right behind a convolution
    or a linear layer that runs once and whose output nothing else reads. Modules that have a method `fold`, such as heads and
    blocks of parallel branches, take their own parts together first. What `network` computes must not branch on the values of
    its input."""
    network = deepcopy(network).eval()
    fold_parts(network)
    graph = Tracer().trace(network)
    modules = dict(network.named_modules())
    for before, node in norms_behind(graph, modules):
        layer, norm = modules[before.target], modules[node.target]
        fuse = next(fuse for kind, fuse in FUSE.items() if isinstance(layer, kind))
        statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        layer.weight, layer.bias = fuse(layer.weight, layer.bias, *statistics)
        node.replace_all_uses_with(before)
        graph.erase_node(node)
    return fx.GraphModule(network, graph)


def norms_behind(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Layers, such as FUSE has functions for, each with the BatchNorm right behind it, where the layer runs once and nothing
    else reads its output. modules: what the graph calls, by name. The BatchNorm's node may be taken out of the graph."""
    calls = Counter(node.target for node in graph.nodes)
    for node in list(graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], _BatchNorm):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) > 1 or calls[before.target] > 1:
            continue
        if isinstance(modules[before.target], tuple(FUSE)):
            yield before, node
