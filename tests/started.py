"""Scripts of this project in processes of their own that start at once: forked from one that has loaded the libraries.

A start of Python spends seconds on loading them. The real start is tried where it is what a test is about (test_commands,
torchrun in test_processes); what only asks for a process, to be killed or to end with an exit code, takes one of these.
"""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

from torch.distributed import TCPStore

ROOT = Path(__file__).parent.parent
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["common", "run", "export"])


class Started(NamedTuple):
    """A process and the file of what it says: stdout and stderr, as they come."""

    process: multiprocessing.process.BaseProcess
    output: Path

    def ended(self, seconds: float = 300) -> tuple[int | None, str]:
        """Its exit code, None if it had to be killed because it did not end in time, and what it said."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
        return code, self.output.read_text(encoding="utf-8")


def start(script: str, arguments: list[str], output: Path, **environment: str) -> Started:
    """Start a script at the root, or a file anywhere, as `python <script> <arguments>` would in the root."""
    process = FORKS.Process(target=_carry_out, args=(script, arguments, str(output), environment))
    process.start()
    return Started(process, output)


def run_two(script: str, arguments: list[str], folder: Path) -> list[tuple[int | None, str]]:
    """Start it in two processes that train together, as torchrun would: it keeps the store where they meet, but here nobody
    ends one of them because the other has ended. Return how they ended, once both have."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
    shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    started = [start(script, arguments, folder / f"said-{rank}", **shared, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]
    return [process.ended() for process in started]


def _carry_out(script: str, arguments: list[str], output: str, environment: dict[str, str]) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(ROOT)
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
