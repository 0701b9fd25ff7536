"""Post-training quantisation of a graph to 8 bits, by onnxruntime's own quantiser."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from models.serving.graph import INPUT_NAME

FLOAT_SHARE = 0.0007
"""The first layers stay in float as long as they hold at most this share of the weights: in EfficientNet-B0 up to the end
of the first block. They see the largest maps and lose most, and int8 neither shrinks nor speeds them up."""


def quantise(graph: bytes, batches: Iterable[np.ndarray]) -> bytes:
    """The graph with int8 weights (symmetric, a scale per channel) and uint8 activations (a scale per tensor).

    graph: of `make_graph`. batches: typical input, float32 [B, 3, S, S] each; the range of an activation is the mean of its
    extremes over the batches, since the one largest value of all would cost every other its resolution. The embedding
    itself stays float32. Equal graphs and batches give equal bytes.
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
            per_channel=True,
            activation_type=QuantType.QUInt8,  # with int8 weights the fastest kernels on x86
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_first_nodes(model),
            extra_options={"CalibMovingAverage": True, "OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
        return out.read_bytes()


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
