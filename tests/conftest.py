"""What several tests share."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import common  # noqa: F401  # before torch: it says how threads wait

CACHE = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
    """All tests share one cache of decoded photographs, which is not the project's own; scripts that they start, too."""
    config.stash[CACHE] = tempfile.TemporaryDirectory(prefix="triarchy-cache-")
    os.environ["TRIARCHY_CACHE"] = config.stash[CACHE].name


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[CACHE].cleanup()


@pytest.fixture(scope="module")
def pictures_as_digests() -> Iterator[None]:
    """In place of each picture of a report, the SHA-256 of all that it would show: drawing takes longer than a tiny run, and
    equal pictures of equal results are the business of test_report. Processes that are started draw as ever."""
    with pytest.MonkeyPatch.context() as patch:
        for draw in ("draw_scores", "draw_roc", "draw_angles"):
            patch.setattr(f"verification.plots.{draw}", _write_digest)
        yield


def _write_digest(path: Path, *shown: object) -> None:
    parts = [part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode() for part in shown]
    path.write_bytes(hashlib.sha256(b"\0".join(parts)).digest())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs, `../shared/data` beside the repository; tests that need it are skipped without it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"NO REAL PHOTOGRAPHS: {folder} is absent, so readers were tried on made-up files alone")
    return folder
