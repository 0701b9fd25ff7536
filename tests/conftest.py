"""What several tests share."""

import os
import tempfile
from pathlib import Path

import pytest

import common  # noqa: F401  # before torch: it says how threads wait

CACHE = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
    """All tests share one cache of decoded photographs, which is not the project's own; scripts that they start, too."""
    config.stash[CACHE] = tempfile.TemporaryDirectory(prefix="triarchy-cache-")
    os.environ["TRIARCHY_CACHE"] = config.stash[CACHE].name


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[CACHE].cleanup()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs, `../shared/data` beside the repository; tests that need it are skipped without it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"NO REAL PHOTOGRAPHS: {folder} is absent, so readers were tried on made-up files alone")
    return folder
