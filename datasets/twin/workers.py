"""Photographs taken and written, person by person, in this process or in several."""

import io
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import cv2
import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from common.errors import InputError
from common.files import write_whole
from datasets.twin.shots import Shot, file_name


class Photographer(Protocol):
    """What datasets.twin.studio.Studio offers."""

    def photograph(self, person: int, shot: Shot) -> np.ndarray:
        """uint8 RGB [S, S, 3]; calls for one person in sequence are cheap."""


class Job(NamedTuple):
    """The photographs of one person that are still to be taken."""

    person: int
    shots: list[Shot]
    folder: Path


class Order(NamedTuple):
    """How every photograph of a set is made; it can be sent to another process."""

    open_studio: Callable[[int, int], Photographer]  # (seed, image_size)
    seed: int
    image_size: int
    quality: int

    def studio(self) -> Photographer:
        return self.open_studio(self.seed, self.image_size)


def take(jobs: Iterable[Job], order: Order, workers: int) -> Generator[None, None, None]:
    """Do the jobs, yielding after every photograph. The files do not depend on `workers`; 1 is this process itself.

    Only as many jobs are drawn from `jobs` as are being worked on. However this ends, no process outlives it. Raises
    InputError and OSError as the studio and the disk do, in whichever process.
    """
    if workers > 1:
        yield from _take_in_processes(jobs, order, workers)
        return
    studio = None
    with threadpool_limits(1):  # the arrays of one photograph are small: more threads only wait for each other
        for job in jobs:
            studio = studio or order.studio()
            yield from _do(job, studio, order.quality)


def _do(job: Job, studio: Photographer, quality: int) -> Iterator[None]:
    for shot in job.shots:
        pixels = studio.photograph(job.person, shot)
        write_whole(job.folder / file_name(job.person, shot), jpeg(pixels, quality))
        yield


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """A JPEG file of uint8 RGB [H, W, 3]; everything but the quality is fixed, so equal pixels give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True, progressive=False)
    return buffer.getvalue()


WRITTEN, READY = "written", "ready"  # what a worker says: one more photograph is there; give me a job


def _take_in_processes(jobs: Iterable[Job], order: Order, workers: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")  # the ray caster's threads do not survive a fork
    jobs = iter(jobs)
    crew: dict[Connection, multiprocessing.process.BaseProcess] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            crew[ours] = context.Process(target=_work, args=(theirs, order), daemon=True)
            with _interrupts_ignored():
                crew[ours].start()
            theirs.close()  # now the worker alone holds its end, and each side learns when the other one is gone
        while crew:
            for pipe in cast(list[Connection], wait(list(crew))):  # some of those that it is given
                message = _receive(pipe, crew[pipe])
                if isinstance(message, Exception):
                    raise message
                if message == WRITTEN:
                    yield
                    continue
                job = next(jobs, None)
                with suppress(BrokenPipeError, ConnectionResetError):  # it has died: the next message will tell
                    pipe.send(job)
                if job is None:
                    crew.pop(pipe).join()
    finally:
        for process in crew.values():
            if process.pid:
                process.terminate()
                process.join()


def _receive(pipe: Connection, process: multiprocessing.process.BaseProcess) -> object:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        process.join()
        raise InputError(
            f"a rendering process ended with code {process.exitcode} (-9: perhaps there was too little memory for so many "
            f"workers); the same command goes on where it stopped"
        ) from error


def _work(pipe: Connection, order: Order) -> None:
    """The life of a worker. It ends when there are no more jobs, or when nobody is left to work for."""
    try:
        threadpool_limits(1)  # as many threads as workers, not as many as workers times processors
        cv2.setNumThreads(1)
        studio = None
        pipe.send(READY)
        while (job := pipe.recv()) is not None:
            try:
                studio = studio or order.studio()
                for _ in _do(job, studio, order.quality):
                    pipe.send(WRITTEN)
                message: str | Exception = READY
            except (BrokenPipeError, ConnectionResetError):
                raise
            except (InputError, OSError) as error:
                message = error  # the main process tells it in one sentence
            pipe.send(message)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the main process was killed


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started here do not hear Ctrl-C, which a terminal sends to all: the main process ends them."""
    if threading.current_thread() is not threading.main_thread():  # only there can it be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
