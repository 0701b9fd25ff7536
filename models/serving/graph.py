"""From an embedder to the graph that onnxruntime runs: BatchNorm and paddings folded into the layers beside them."""

import copy
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnx import ModelProto, NodeProto
from torch import Tensor, nn

from models.embedder import Embedder
from models.fake_quantised import traced
from models.layers.folding import fold_parts

OPSET = 17
INPUT_NAME, OUTPUT_NAME = "images", "embeddings"
MARKS = "marks"  # domain of the nodes that `Mark` leaves, for as long as they are there


def make_graph(embedder: nn.Module, image_size: int) -> bytes:
    """A serialised ModelProto: images float32 [B, 3, image_size, image_size] -> embeddings float32 [B, D], any B.

    Equal weights give equal bytes. All operators are ONNX's own.
    """
    embedder = copy.deepcopy(embedder).cpu().eval()
    fold_parts(embedder)  # the exporter folds BatchNorms behind convolutions by itself
    return _simplified(_exported(embedder, image_size))


def make_named_graph(embedder: Embedder, image_size: int) -> tuple[bytes, dict[str, str]]:
    """What `make_graph` gives, perhaps with other names, and by the names of the graph's tensors the steps of the traced
    network (see `models.fake_quantised.Plan`) that compute them: of several that leave a tensor as it is the first. Raises
    InputError."""
    marked = traced(copy.deepcopy(embedder).cpu(), Mark)
    model = ModelProto.FromString(_exported(marked, image_size, custom_opsets={MARKS: 1}))
    steps: dict[str, str] = {}
    originals: dict[str, str] = {}  # of what comes out of a mark the name of what goes in
    kept = []
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = originals.get(name, name)
        if node.domain == MARKS:
            originals[node.output[0]] = node.input[0]
            steps.setdefault(node.input[0], node.attribute[0].s.decode())
        else:
            kept.append(node)
    _end_with(kept, originals[OUTPUT_NAME], OUTPUT_NAME)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    steps[OUTPUT_NAME] = steps.pop(originals[OUTPUT_NAME])
    return _simplified(model.SerializeToString()), steps


def _end_with(nodes: list[NodeProto], name: str, output: str) -> None:
    """Call the tensor `name` by the name of the graph's output."""
    for node in nodes:
        for names in (node.input, node.output):
            for place, each in enumerate(names):
                if each == name:
                    names[place] = output


class Mark(nn.Module):
    """Lets tensors through, and leaves a node with its name in an exported graph."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, values: Any) -> Any:
        return Marking.apply(values, self.name) if isinstance(values, Tensor) and values.is_floating_point() else values


class Marking(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, name: str) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def symbolic(g: Any, values: Any, name: str) -> Any:
        return g.op(f"{MARKS}::Mark", values, name_s=name).setType(values.type())


def _exported(embedder: nn.Module, image_size: int, **options: Any) -> bytes:
    """As torch's exporter writes it."""
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
            **options,
        )
    return buffer.getvalue()


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
