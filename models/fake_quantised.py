"""A network that computes in float as its exported int8 file will in integers, with a gradient to train by."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from common.errors import InputError, listing
from models.layers.fake_quantise import RANGES, Range, extremes, quantised_weight, weight_scale
from models.layers.folding import FUSE, Tracer, folded, norms_behind

SIX = (nn.ReLU6, functional.relu6)


class Plan(NamedTuple):
    """What the int8 file of a network holds in 8 bits, by the names of the steps of the traced network."""

    values: tuple[str, ...]
    """Steps whose result is rounded to uint8, in order."""
    layers: frozenset[str]
    """Convolutions and linear layers, and BatchNorms that stand behind none, whose weights are rounded to int8."""


class FakeQuantised(nn.Module):
    """Images [B, 3, S, S] -> embeddings [B, D], rounded wherever the plan says so.

    It has no weights of its own: it computes with those of `network`, which learn and ship. A BatchNorm behind a layer is part
    of that layer's weights, by its running statistics, before they are rounded. All BatchNorms of `network` should be in
    evaluation mode. What the network draws at random by itself, such as drop-connect, is left out; its dropout layers stay.
    Raises InputError for a network that the file computes in another way, such as in fewer branches.
    """

    def __init__(self, network: nn.Module, plan: Plan, ranges: nn.ModuleDict):
        super().__init__()
        with evaluating(network):
            graph = Tracer().trace(network)
            modules: dict[str, Any] = dict(network.named_modules())
            attributes = _attributes(network, graph)
        layers: dict[Any, Any] = {node: None for node in graph.nodes if isinstance(modules.get(str(node.target)), tuple(FUSE))}
        for before, node in norms_behind(graph, modules):
            layers[before] = modules[str(node.target)]
            node.replace_all_uses_with(before)
            graph.erase_node(node)
        split_silu(graph, modules)
        missing = sorted((set(plan.values) | plan.layers) - {node.name for node in graph.nodes})
        if missing:
            raise InputError(
                f"the network cannot be trained for 8 bits: its int8 file does not compute {listing(missing, most=3)} as"
                f" training does"
            )
        for node, norm in layers.items():
            source: Any = ranges[name] if (name := _origin(node.args[0], modules)) in ranges else None
            modules[f"layer_{node.name}"] = Layer(modules[str(node.target)], norm, node.name in plan.layers, source)
            node.target = f"layer_{node.name}"
        for node in graph.nodes:
            if node.name in plan.layers and _is(node, modules, _BatchNorm):
                modules[f"norm_{node.name}"] = RoundedNorm(modules[node.target])
                node.target = f"norm_{node.name}"
        watch(graph, modules, {name: ranges[name] for name in plan.values})
        self.ranges = ranges
        self.steps = fx.GraphModule(attributes | modules, graph)

    def forward(self, images: Tensor) -> Tensor:
        return self.steps(images)


class Layer(nn.Module):
    """A convolution or linear layer with the weights that it has together with the BatchNorm behind it, if there is one.

    rounds: whether the weights are rounded to int8. source: the range of its input, if that is rounded. Where no gradient is
    wanted, a layer with both computes with the integers, which float32 holds exactly, and adds a bias rounded to 32 bits, all
    as the int8 file has it: the last bit of a sum decides how the sum is rounded, and many layers make much of that.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, norm: _BatchNorm | None, rounds: bool, source: Range | None):
        super().__init__()
        self.layer, self.norm, self.rounds, self.source = layer, norm, rounds, source

    def forward(self, inputs: Tensor) -> Tensor:
        weight, bias = self.weight_and_bias()
        if not self.rounds:
            return self.compute(inputs, weight, bias)
        if self.source is None or not self.source.rounds or torch.is_grad_enabled():
            return self.compute(inputs, quantised_weight(weight), bias)
        step, scale = self.source.scale_and_zero_point()[0], weight_scale(weight)
        unit = step * scale
        integers = (weight / _channels_first(scale, weight.ndim)).round()
        sums = self.compute((inputs / step).round(), integers, None if bias is None else (bias / unit).round())
        return sums * _channels_last(unit, sums.ndim)

    def weight_and_bias(self) -> tuple[Tensor, Tensor | None]:
        weight, bias = self.layer.weight, self.layer.bias
        if self.norm is None:
            return weight, bias
        assert self.norm.running_mean is not None and self.norm.running_var is not None
        scale = (self.norm.running_var + self.norm.eps).rsqrt()
        scale = scale if self.norm.weight is None else scale * self.norm.weight
        bias = (-self.norm.running_mean if bias is None else bias - self.norm.running_mean) * scale
        bias = bias if self.norm.bias is None else bias + self.norm.bias
        return weight * _channels_first(scale, weight.ndim), bias

    def compute(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What the layer itself would with these weights."""
        if bias is None or self.layer.bias is None:
            outputs = functional_call(self.layer, {"weight": weight}, (inputs,))
            return outputs if bias is None else outputs + _channels_last(bias, outputs.ndim)
        return functional_call(self.layer, {"weight": weight, "bias": bias}, (inputs,))


class RoundedNorm(nn.Module):
    """A BatchNorm by its running statistics, its weights rounded with one scale for all, as an int8 file has them."""

    def __init__(self, norm: _BatchNorm):
        super().__init__()
        self.norm = norm

    def forward(self, inputs: Tensor) -> Tensor:
        norm = self.norm
        weight = quantised_weight(norm.weight[None])[0]
        return functional.batch_norm(inputs, norm.running_mean, norm.running_var, weight, norm.bias, eps=norm.eps)


def _channels_first(values: Tensor, ndim: int) -> Tensor:
    """[C] -> [C, 1, ...]"""
    return values.view(-1, *[1] * (ndim - 1))


def _channels_last(values: Tensor, ndim: int) -> Tensor:
    """[C] as they lie in outputs: [C, 1, 1] in those of a convolution, [C] in those of a linear layer."""
    return values.view(-1, *[1] * (ndim - 2))


def make_ranges(network: nn.Module, plan: Plan, kind: str) -> nn.ModuleDict:
    """A range of a kind of RANGES for each value of the plan."""
    with evaluating(network):
        graph = Tracer().trace(network)
    modules: dict[str, Any] = dict(network.named_modules())
    split_silu(graph, modules)
    sixes = {node.name for node in graph.nodes if _is(node, modules, *SIX)}
    return nn.ModuleDict({name: RANGES[kind](6.0 if name in sixes else math.inf) for name in plan.values})


@torch.no_grad()
def calibrate(network: FakeQuantised, batches: Iterable[Tensor]) -> None:
    """Set all ranges to the mean of their values' extremes over the batches, [B, 3, S, S] each; of several processes each has
    its share of every batch. No value is rounded meanwhile; weights are."""
    ranges: list[Any] = list(network.ranges.values())
    modes = [each.training for each in ranges]
    totals, count = torch.zeros(()), 0
    for each in ranges:
        each.rounds = False
        each.train()
    for images in batches:
        network(images)
        totals, count = totals.to(images.device) + extremes(ranges), count + 1
    for each, mode, (low, high) in zip(ranges, modes, totals / count, strict=True):
        each.set(low, high)
        each.rounds = True
        each.train(mode)


def traced(network: nn.Module, watcher: Callable[[str], nn.Module]) -> fx.GraphModule:
    """A copy of `network` for inference, BatchNorms folded, each of whose values passes through `watcher(name)`, by the names
    of a Plan. Raises InputError for a network whose training has BatchNorms that are gone here."""
    with evaluating(network):
        graph, modules = Tracer().trace(network), dict(network.named_modules())
    left = {node.target for node in graph.nodes if _is(node, modules, _BatchNorm)}
    left -= {node.target for _, node in norms_behind(graph, modules)}
    copy = folded(network)
    assert isinstance(copy, fx.GraphModule)
    parts: dict[str, Any] = dict(copy.named_modules())
    gone = sorted(str(name) for name in left if not isinstance(parts.get(str(name)), _BatchNorm))
    if gone:
        raise InputError(
            f"the network cannot be trained for 8 bits: its int8 file has no {listing(gone, most=3)} of its own, which becomes"
            f" part of a layer that training computes apart"
        )
    graph = copy.graph
    attributes = _attributes(copy, graph)
    split_silu(graph, parts)
    names = [node.name for node in graph.nodes if node.op != "output"]
    watch(graph, parts, {name: watcher(name) for name in names})
    return fx.GraphModule(attributes | parts, graph)


def split_silu(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
    """Compute each SiLU in the two steps of an exported file, whose results are both rounded: sigmoid and product."""
    for node in list(graph.nodes):
        if _is(node, modules, nn.SiLU, functional.silu):
            values = node.args[0]
            with graph.inserting_before(node):
                gate = graph.create_node("call_function", torch.sigmoid, (values,), name=f"{node.name}_gate")
                product = graph.create_node("call_function", torch.mul, (values, gate), name=f"{node.name}_product")
            node.replace_all_uses_with(product)
            graph.erase_node(node)


def watch(graph: fx.Graph, modules: dict[str, Any], watchers: Mapping[str, nn.Module]) -> None:
    """Pass the results of the named steps through these modules, which are added to `modules`."""
    for node in list(graph.nodes):
        if node.name in watchers:
            target = f"watch_{node.name}"
            modules[target] = watchers[node.name]
            with graph.inserting_after(node):
                watched = graph.create_node("call_module", target)  # its argument comes below, or it would read itself
            node.replace_all_uses_with(watched)
            watched.args = (node,)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """For the body, `network` is in evaluation mode and no gradient is wanted; then each of its modules is as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _is(node: fx.Node, modules: Mapping[str, nn.Module], *kinds: Any) -> bool:
    """Whether a step calls a module of one of these types, or one of these functions."""
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], tuple(kind for kind in kinds if isinstance(kind, type)))
    return node.op == "call_function" and node.target in kinds


def _origin(node: Any, modules: Mapping[str, nn.Module]) -> str:
    """The step whose values come out of this one, perhaps in another shape."""
    while _is(node, modules, nn.Dropout, nn.Identity, nn.Flatten, torch.flatten) or node.target in ("flatten", "view", "reshape"):
        node = node.args[0]
    return node.name


def _attributes(network: nn.Module, graph: fx.Graph) -> dict[str, Any]:
    """The weights and constants that a graph reads by itself, by name."""
    names = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    return {name: reduce(getattr, name.split("."), network) for name in names}
