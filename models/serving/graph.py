"""From an embedder to the graph that onnxruntime runs: BatchNorm and paddings folded into the layers beside them."""

import copy
import io
import tempfile
import warnings
from pathlib import Path

import onnxruntime
import torch
from onnx import ModelProto
from torch import nn

from models.layers.folding import fold_parts

OPSET = 17
INPUT_NAME, OUTPUT_NAME = "images", "embeddings"


def make_graph(embedder: nn.Module, image_size: int) -> bytes:
    """A serialised ModelProto: images float32 [B, 3, image_size, image_size] -> embeddings float32 [B, D], any B.

    Equal weights give equal bytes. All operators are ONNX's own.
    """
    embedder = copy.deepcopy(embedder).cpu().eval()
    fold_parts(embedder)  # the exporter folds BatchNorms behind convolutions by itself
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():  # with gradients wanted, a convolution computes otherwise
        warnings.simplefilter("ignore")  # that this exporter is the older one; it needs no further package
        torch.onnx.export(
            embedder,
            (torch.zeros(1, 3, image_size, image_size),),
            buffer,  # type: ignore[arg-type]  # the older exporter, which dynamo=False chooses, takes it
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: {0: "batch"}, OUTPUT_NAME: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return _simplified(buffer.getvalue())


def _simplified(graph: bytes) -> bytes:
    """The same function with constants computed and paddings folded into convolutions.

    Only onnxruntime's basic rewriting, which is the same on every machine and leaves standard operators.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "graph.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = ModelProto.FromString(Path(options.optimized_model_filepath).read_bytes())
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model.SerializeToString(deterministic=True)
