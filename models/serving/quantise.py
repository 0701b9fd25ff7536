"""Quantisation of a graph to 8 bits, by onnxruntime's own quantiser: after training, or with the ranges of training."""

import copy
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from common.errors import InputError, listing
from models.embedder import Embedder
from models.fake_quantised import Plan
from models.serving.graph import INPUT_NAME, make_named_graph

FLOAT_SHARE = 0.0007
"""The first layers stay in float as long as they hold at most this share of the weights: in EfficientNet-B0 up to the end
of the first block. They see the largest maps and lose most, and int8 neither shrinks nor speeds them up."""


def quantise(
    graph: bytes,
    batches: Iterable[np.ndarray],
    bounds: Mapping[str, tuple[float, int]] | None = None,
    per_channel: bool = True,
) -> bytes:
    """The graph with int8 weights (symmetric, a scale per channel) and uint8 activations (a scale per tensor).

    graph: of `make_graph`. batches: typical input, float32 [B, 3, S, S] each; the range of an activation is the mean of its
    extremes over the batches, since the one largest value of all would cost every other its resolution. bounds: scale and
    zero point of activations, by the names of tensors, which no batch then decides. The embedding itself stays float32.
    Equal graphs and batches give equal bytes.
    """
    model = ModelProto.FromString(graph)
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # or else it is asked for, on stderr
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            out,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,  # with int8 weights the fastest kernels on x86
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_first_nodes(model),
            extra_options={
                "CalibMovingAverage": True,
                "OpTypesToExcludeOutputQuantization": ["Gemm"],
                "TensorQuantOverrides": {
                    name: [{"scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, np.uint8)}]
                    for name, (scale, zero_point) in (bounds or {}).items()
                },
            },
        )
        return out.read_bytes()


def quantise_trained(embedder: Embedder, image_size: int, ranges: Mapping[str, tuple[float, int]]) -> bytes:
    """The graph of an embedder in 8 bits, with the scales and zero points that training left, by the names of the steps of the
    traced network. Raises InputError if they are not those of the values that such a file holds in 8 bits."""
    graph, steps = make_named_graph(embedder, image_size)
    bounds = {tensor: ranges[step] for tensor, step in steps.items() if step in ranges}
    small = quantise(graph, [_no_image(image_size)], bounds)
    strange = set(_rounded_values(ModelProto.FromString(small))) ^ set(bounds) or set(ranges) - set(steps.values())
    if strange:
        raise InputError(
            f"the ranges of the weight file belong to another network or another version of this program:"
            f" {listing(sorted(strange), most=3)}"
        )
    return small


def int8_plan(embedder: Embedder, image_size: int) -> Plan:
    """What the int8 file of an embedder holds in 8 bits, read off what the quantiser makes of it. Raises InputError if that
    cannot be trained for."""
    graph, steps = make_named_graph(_with_other_weights(embedder), image_size)
    small = ModelProto.FromString(quantise(graph, [_no_image(image_size)], per_channel=False))  # which is sooner done
    values = _rounded_values(small)
    strange = sorted(set(values) - set(steps))
    if strange:
        raise InputError(
            f"the network cannot be trained for 8 bits: its int8 file rounds {listing(strange, most=3)}, inside what training"
            f" computes in one step"
        )
    stored = {tensor.name for tensor in small.graph.initializer}
    weights = {node.output[0] for node in small.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    rounded = {node.name for node in small.graph.node if len(node.input) > 1 and node.input[1] in weights}
    layers = {steps[node.output[0]] for node in ModelProto.FromString(graph).graph.node if node.name in rounded}
    return Plan(tuple(steps[tensor] for tensor in values), frozenset(layers))


def _with_other_weights(embedder: Embedder) -> Embedder:
    """A copy whose weights are all different: two branches with equal ones, as at the start of a training, would be one."""
    embedder, generator = copy.deepcopy(embedder).cpu(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in embedder.parameters():
            weight.uniform_(0.5, 1.5, generator=generator)
    return embedder


def _rounded_values(small: ModelProto) -> list[str]:
    """Names of the tensors that a quantised graph rounds with a scale of their own; others hold part of another's values."""
    pairs = [node.input[:2] for node in small.graph.node if node.op_type == "QuantizeLinear"]
    return [tensor for tensor, scale in pairs if scale == f"{tensor}_scale"]


def _no_image(image_size: int) -> np.ndarray:
    return np.zeros((1, 3, image_size, image_size), np.float32)


class _Batches(CalibrationDataReader):
    def __init__(self, batches: Iterable[np.ndarray]):
        self.batches: Iterator[np.ndarray] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT_NAME: batch}


def _first_nodes(model: ModelProto) -> list[str]:
    """Names of the first nodes, in the order of computation, that together hold at most FLOAT_SHARE of the weights."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    held = np.cumsum([sum(sizes.get(name, 0) for name in node.input) for node in model.graph.node])
    return [node.name for node, sum_ in zip(model.graph.node, held) if sum_ <= FLOAT_SHARE * held[-1]]
