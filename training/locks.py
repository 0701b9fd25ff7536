"""One process, or one group of them, at a time trains a run: two would write the same files by turns."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common.config import Config
from common.errors import InputError
from common.files import claimed, made
from distributed.processes import barrier, is_main_process
from training.receipts import intended_use, is_replaced, stage_settings
from training.run_files import RunFiles

_held: set[Path] = set()  # locks of this process: run.py holds those of both stages, and the stages find them held


@contextmanager
def reserved_runs(config: Config, *sections: str) -> Iterator[None]:
    """Keep other processes from the runs of these stages for the body, and tell at once what forbids them.

    sections: "pretext" or "train". The end of the process frees the runs, too. Raises InputError if another process is at
    one of them, or if a run stands in its place that must be kept, as far as its settings and arithmetic tell. Of several
    processes the leading one alone locks.
    """
    with ExitStack() as stack:
        if is_main_process():
            runs = {section: RunFiles.of(config, section) for section in sections}
            new = {section: files for section, files in runs.items() if files.lock.absolute() not in _held}
            for files in new.values():
                stack.enter_context(_locked(files, config.results))
            for section, files in new.items():
                is_replaced(config, files, {"config": stage_settings(config, section)} | intended_use(config, section))
        barrier()
        yield


def reserves(section: str) -> Callable[[Callable[[Config], Path]], Callable[[Config], Path]]:
    """Decorate a stage, `(config) -> Path`, so that the run of `section` is reserved while it works."""

    def decorate(stage: Callable[[Config], Path]) -> Callable[[Config], Path]:
        @functools.wraps(stage)
        def reserved(config: Config) -> Path:
            with reserved_runs(config, section):
                return stage(config)

        return reserved

    return decorate


@contextmanager
def _locked(files: RunFiles, results: str) -> Iterator[None]:
    with made(files.lock.parent), ExitStack() as stack:
        try:
            stack.enter_context(claimed(files.lock))
        except BlockingIOError as error:
            raise InputError(
                f"another process is training {files.name!r} in {results!r}; wait for its end, or choose another --name or"
                f" --results"
            ) from error
        path = files.lock.absolute()
        _held.add(path)
        stack.callback(_held.discard, path)
        yield
