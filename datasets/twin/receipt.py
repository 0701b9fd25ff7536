"""What a generated set says about itself: the settings and package versions that it was made with."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import write_json

RECEIPT = "twin.json"
RENDERER = 1  # one more whenever the same settings would give other pixels
PACKAGES = ("anny", "warp-lang", "torch", "numpy", "opencv-python-headless", "pillow")  # what the pixels depend on


def write_receipt(folder: Path, settings: dict[str, Any]) -> None:
    write_json(folder / RECEIPT, {"settings": settings, "packages": installed_packages()})


def read_receipt(folder: Path) -> dict[str, dict[str, Any]]:
    """The sections `settings` and `packages`. Raises InputError if `folder` has no sound receipt."""
    path = folder / RECEIPT
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(receipt[section], dict) for section in ("settings", "packages")):
            return receipt
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise InputError(f"{str(path)!r} is not the receipt of a set made by 'python -m datasets.twin'")


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What changed, as `seed was 0, is 5`."""
    names = [*now, *sorted(set(before) - set(now))]
    return [f"{name} was {before.get(name)}, is {now.get(name)}" for name in names if before.get(name) != now.get(name)]


def installed_packages() -> dict[str, str | None]:
    """The versions of PACKAGES, None for one that is not installed, and of our own renderer."""
    versions: dict[str, str | None] = {"renderer": str(RENDERER)}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
