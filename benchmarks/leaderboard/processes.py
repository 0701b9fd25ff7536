"""Programs of this project run in processes of their own, which end with this one, and what they say when they fail."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import IO

from common.errors import InputError
from common.files import WINDOWS

ROOT = Path(__file__).resolve().parents[2]
LONGEST_REASON = 300  # characters


class Processes:
    """The processes that are at work; they end with this one, also if it is terminated.

    held: the open file of a lock. The processes hold it, too: if this one is killed, which nothing can prevent, no other
    leaderboard meets them at their work.
    """

    def __init__(self, held: IO[bytes]):
        self.held = held
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = Lock()
        self.ended = False

    def __enter__(self) -> "Processes":
        self.before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for process in list(self.running):
            process.wait()
        signal.signal(signal.SIGTERM, self.before)

    def run(self, module: str, *arguments: str) -> str:
        """What a program of this project printed, run in the folder where the user is. Raises InputError with the reason if it
        failed."""
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"}
        with self.lock:
            if self.ended:
                raise InputError("the leaderboard was stopped")
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                pass_fds=() if WINDOWS else (self.held.fileno(),),
            )
            self.running.add(process)
        printed, errors = process.communicate()
        with self.lock:
            self.running.discard(process)
        if process.returncode:
            raise InputError(reason(process.returncode, errors, f"{module.rpartition('.')[2]}.py"))
        return printed

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for process in self.running:
                process.terminate()


def reason(code: int, errors: str, program: str) -> str:
    """Why a program failed, in one sentence: its own, else the exception that ended it, else the last thing it said.

    code: exit status, negative for a signal. errors: what it wrote to stderr, progress bars and warnings included.
    """
    if code < 0:
        hint = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
        return f"it was killed by the signal {signal.Signals(-code).name}{hint}"
    lines = [line.rstrip() for line in errors.replace("\r", "\n").splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(f"{program}: ")]
    start = max((place for place, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), default=None)
    raised = [line for line in lines[start + 1 :] if re.match(r"[A-Za-z_][\w.]*(:|$)", line)] if start is not None else []
    said = own[-1].removeprefix(f"{program}: ") if own else raised[0] if raised else lines[-1].strip() if lines else ""
    said = said or f"{program} ended with exit code {code}"
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}..."
