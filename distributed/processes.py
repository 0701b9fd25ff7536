"""The processes of a run: one, or several that torchrun starts and that train together, each on its share of every batch.

What they have computed they exchange by `collectives`. This module is for those who only ask how many there are and which
one this is, and loads no tensor library unless there are several. The first, of rank 0, leads: it alone writes and speaks.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import timedelta
from typing import Any, NoReturn

TIMEOUT = timedelta(days=1)  # how long one may wait for another: rank 0 validates alone, and torchrun ends all if one ends
PATIENCE = 3.0  # seconds that the first process that fails has to say why


class JoinError(Exception):
    """The environment does not say, or says wrongly, which processes train together."""


_store: Any = None  # torch.distributed.Store that all processes see, while there are several
_rank, _world_size = 0, 1


def world_size() -> int:
    """How many processes train together."""
    return _world_size


def rank() -> int:
    """Which of them this is, counted from 0."""
    return _rank


def is_main_process() -> bool:
    """Whether this is the one that validates, writes and prints."""
    return _rank == 0


def local_rank_and_world_size() -> tuple[int, int]:
    """Which of the processes on this machine this is, and how many there are."""
    return (int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])) if _world_size > 1 else (0, 1)


def local_rows(size: int) -> slice:
    """This process's rows of `size` rows of a batch. Raises ValueError if the processes' shares would differ."""
    if size % _world_size:
        raise ValueError(f"{size} rows cannot be split evenly over {_world_size} processes")
    part = size // _world_size
    return slice(_rank * part, (_rank + 1) * part)


def _environment_world_size() -> int:
    """How many processes torchrun started, 1 without it. Raises JoinError for an environment that contradicts itself."""
    if "LOCAL_WORLD_SIZE" not in os.environ:
        return 1  # started by something else, perhaps with variables of such names, too
    numbers = {}
    for name in ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        text = os.environ.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 8):
            raise JoinError(f"the environment variable {name} is {text[:200]!r}; torchrun makes it a number")
        numbers[name] = int(text)
    world, rank, local_world, local_rank, _ = numbers.values()
    if not (local_rank < local_world <= world and rank < world):
        raise JoinError(
            f"the environment speaks of process {rank} of {world}, and here of {local_rank} of {local_world}, which cannot be;"
            f" start with torchrun"
        )
    return world


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, if torchrun started several, for the body; all but the leading one print nothing in it."""
    global _store, _rank, _world_size
    if _environment_world_size() == 1:
        yield
        return
    import torch
    from torch import distributed

    try:
        _store, _rank, _world_size = next(distributed.rendezvous("env://"))
    except (ValueError, RuntimeError) as error:
        raise JoinError(f"the processes cannot meet ({' '.join(str(error).split())}); start with torchrun") from error
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    group = distributed.PrefixStore("group", _store)
    distributed.init_process_group(backend, store=group, rank=_rank, world_size=_world_size, timeout=TIMEOUT)
    with ExitStack() as stack:
        if not is_main_process():
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", errors="backslashreplace"))))
        yield
    distributed.destroy_process_group()
    _store, _rank, _world_size = None, 0, 1


def barrier() -> None:
    """Return once every process has come here."""
    if _world_size > 1:
        import torch

        torch.distributed.all_reduce(torch.zeros(1))  # of a CPU tensor: barrier() would ask for a device


@contextmanager
def main_process_first() -> Iterator[None]:
    """The leading process goes through the body before the others enter it, and so leaves them what it writes there."""
    if not is_main_process():
        barrier()
    yield
    if is_main_process():
        barrier()


def end(code: int, text: str) -> NoReturn:
    """Print `text` on stderr and end the program with exit code `code`.

    Of several processes the first to come here speaks, and the others end silently with its code, since what they met is
    either the same fault or its consequence.
    """
    if _world_size == 1:
        print(text, file=sys.stderr)
        sys.exit(code)
    mine = f"{_rank} {code}"
    try:
        first = _store.compare_set("fault", "", mine).decode()
    except Exception:  # the store is gone with its process: two sentences are better than none
        first = mine
    if first == mine:
        print(text, file=sys.stderr)
    else:
        time.sleep(PATIENCE)  # torchrun ends all as soon as one has ended
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(first.split()[1]))  # an ordinary end would wait for exchanges that the others will never take part in
