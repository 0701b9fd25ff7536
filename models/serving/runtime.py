"""An exported embedder, called like the one that it was exported from."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from common.config import ModelConfig
from common.errors import InputError
from models.serving.graph import INPUT_NAME, OUTPUT_NAME

SHARE = 4  # images that are worth a thread of their own


class OnnxEmbedder(nn.Module):
    """Images [B, 3, S, S] float32 in [-1, 1] -> embeddings [B, D] float32, on the CPU by onnxruntime.

    content: of `onnx_file.read_model`. source: what to call the file in errors. It takes as many threads as torch has been
    given: a large batch is dealt out among them, since one thread a share waits less than all threads for each layer.
    Raises InputError if onnxruntime cannot run the graph or if it is not of the network that `config` describes.
    """

    def __init__(self, content: Mapping[str, Any], config: ModelConfig, source: str):
        super().__init__()
        self.source = source
        self.embedding_size = config.embedding_size
        self.threads = torch.get_num_threads()
        self.one = self._session(content["graph"], 1)
        self.all = self._session(content["graph"], self.threads) if self.threads > 1 else self.one
        self.pool = ThreadPoolExecutor(self.threads)
        signature = [(value.name, value.type, value.shape[1:]) for value in [*self.one.get_inputs(), *self.one.get_outputs()]]
        side = config.image_size
        floats = "tensor(float)"
        if signature != [(INPUT_NAME, floats, [3, side, side]), (OUTPUT_NAME, floats, [config.embedding_size])]:
            raise InputError(
                f"{source} is corrupt: its graph does not turn images of {side} x {side} pixels into"
                f" {config.embedding_size} dimensions, as its description says"
            )

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.contiguous().numpy()
        if len(pixels) < SHARE * self.threads:
            parts = [self._run(self.all, pixels)]
        else:
            parts = list(self.pool.map(lambda part: self._run(self.one, part), np.array_split(pixels, self.threads)))
        return torch.from_numpy(np.concatenate(parts))

    def _session(self, graph: bytes, threads: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong is told below
        options.add_session_config_entry("session.x64quantprecision", "0" if _exact_products() else "1")
        try:
            return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime meets an arbitrary graph here
            raise InputError(f"{self.source} is corrupt: onnxruntime cannot make sense of its graph") from error

    def _run(self, session: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
        try:
            embeddings = session.run([OUTPUT_NAME], {INPUT_NAME: pixels})[0]
        except Exception as error:
            raise InputError(f"{self.source} is corrupt: onnxruntime cannot run its graph") from error
        if embeddings.shape != (len(pixels), self.embedding_size):
            raise InputError(f"{self.source} is corrupt: it makes embeddings of shape {embeddings.shape}")
        return embeddings


def _exact_products() -> bool:
    """Whether the processor adds up int8 products without overflow; else onnxruntime must take a slower way that does."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_vnni") or able.get("avx_vnni"))
