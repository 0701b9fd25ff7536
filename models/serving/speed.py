"""How much faster an exported embedder is than the weights that it comes from, on this machine.

python -m models.serving.speed results/train/weights/triarchy.pt results/train/weights/triarchy-int8.onnx

The two take turns, so that whatever else the machine does slows both down. The times that count are those of an idle one.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from config import Config, make_config
from errors import InputError, run_script
from models.model_file import build_shipped, is_exported, read_model_file

BATCHES = (1, 32)
SECONDS = 5.0  # for each batch size


def measure(paths: list[str], batch: int, seconds: float = SECONDS) -> list[np.ndarray]:
    """Seconds that the embedder in each of the files takes for a batch, float64 [rounds] each. Raises InputError."""
    embedders, sides = zip(*[_open(path) for path in paths])
    if len(set(sides)) > 1:
        raise InputError(f"{paths[0]!r} and {paths[1]!r} read images of different sizes: {sides[0]} and {sides[1]} pixels")
    shape = (batch, 3, sides[0], sides[0])
    images = torch.rand(shape).mul_(2).sub_(1).contiguous(memory_format=torch.channels_last)  # as `network_input` lays them
    for embedder in embedders:
        _seconds(embedder, images)  # the first call prepares what later ones find ready
    rounds: list[list[float]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(rounds) < 5:
        rounds.append([_seconds(embedder, images) for embedder in embedders])
    return list(np.array(rounds).T)


def _open(path: str) -> tuple[nn.Module, int]:
    content = read_model_file(path)
    stored = content["about"].get("config", {})
    config: Config = make_config({"model": stored.get("model", {})}, repr(path))
    return build_shipped(content, config.model, repr(path)).embedder.eval(), config.model.image_size


@torch.inference_mode()
def _seconds(embedder: Callable[[Tensor], Tensor], images: Tensor) -> float:
    start = time.perf_counter()
    embedder(images)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_weight", help="weight file (.pt), run by torch as it is")
    parser.add_argument("exported", help="file written by export.py (.onnx)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for either (default: %(default)s)")
    options = parser.parse_args()
    if is_exported(options.model_weight) or not is_exported(options.exported) or options.threads < 1:
        raise InputError("give the weight file (.pt) first, then the exported file (.onnx), and at least one thread")
    torch.set_num_threads(options.threads)
    for batch in BATCHES:
        before, after = (1e3 * np.median(times) for times in measure([options.model_weight, options.exported], batch))
        print(f"batch {batch:>2}: {before:8.2f} ms and {after:8.2f} ms, {before / after:.2f} times as fast")


if __name__ == "__main__":
    run_script(main)
