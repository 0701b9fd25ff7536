"""Where and how to compute: device, precision, threads, and the one seed for everything that draws."""

import os
import random
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from common.errors import InputError
from distributed.processes import local_rank_and_world_size, rank, world_size

Module = TypeVar("Module", bound=nn.Module)


def seed_everything(seed: int, threads: int = 0) -> None:
    """Seed every generator and allow only deterministic algorithms.

    threads: threads of the tensor library, as `thread_count` reads them. Sums are split among threads, so equal bytes need
    equal thread counts; the receipt records them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    compute_deterministically(thread_count(threads))


def thread_count(threads: int) -> int:
    """Threads that the setting asks for; 0: one per core, shared evenly by the processes of a machine."""
    _, processes = local_rank_and_world_size()
    return threads or max(1, (os.cpu_count() or 1) // processes)


def compute_deterministically(threads: int) -> None:
    """Allow only deterministic algorithms, on so many threads."""
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True) loads a compiler besides, for seconds
    torch.backends.cudnn.benchmark = False
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010  # nothing here reads before it writes


def channels_last(module: Module) -> Module:
    """The module, its 4-d weights in channels-last order in memory, which convolutions on a CPU want."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent from the library's types


def seed_share(seed: int, epoch: int) -> None:
    """Let each of several processes draw dropout for its share of the batches from a generator of its own.

    With the common seed all shares would be dropped out alike. The seed is a pure function of (seed, epoch, rank), so a
    resumed run needs no generator of each process; how many there are still changes what is drawn. One process draws on
    from its only generator.
    """
    if world_size() > 1:
        torch.manual_seed(int(np.random.SeedSequence((seed, epoch, rank())).generate_state(1, np.uint64)[0] >> 1))


def generator_state() -> dict[str, torch.Tensor]:
    """The state of every generator that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_generators(state: dict[str, torch.Tensor]) -> None:
    """Set every generator to where `generator_state` found it."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def choose_device(name: str) -> torch.device:
    """ "auto" takes the GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is 'cuda', but this machine shows no CUDA GPU; use --device cpu")
    place, processes = local_rank_and_world_size()
    if name == "cuda" and processes > 1:
        if processes > torch.cuda.device_count():
            raise InputError(
                f"{processes} processes need a GPU each and this machine shows {torch.cuda.device_count()}; start as many,"
                f" or use --device cpu"
            )
        torch.cuda.set_device(place)  # "cuda" is then this process's own
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """ "auto" becomes bf16 on a device that multiplies such numbers itself (a GPU since Ampere, a CPU with AMX or
    AVX512-BF16), else fp32."""
    return name if name != "auto" else "bf16" if gains_from_bf16(device) else "fp32"


def gains_from_bf16(device: torch.device) -> bool:
    """Whether training is faster in bfloat16. On a CPU without instructions for it conversions back and forth cost more."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def mixed_precision(name: str, device: torch.device) -> torch.autocast:
    """The context for a forward pass whose parts may run in the chosen precision; fp32 changes nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=choose_precision(name, device) == "bf16")
