"""What a run says of itself, finished (a receipt) or unfinished (a snapshot), and how that binds the next of its name."""

import importlib.metadata
import json
import platform
import reprlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common.config import Config, experiment
from common.devices import choose_device, choose_precision, thread_count
from common.errors import InputError
from distributed.processes import world_size
from models.archive import load_tensors
from training.run_files import RunFiles

PACKAGES = ("torch", "efficientnet-pytorch", "numpy", "pandas", "opencv-python-headless", "pillow", "scikit-learn")
PARTS = ("identity", "arithmetic", "recipe", "optimizer", "generators", "progress", "digests", "kept")
"""Of a snapshot; each is a dict."""
OTHERS = "choose another --name or --results"


class Earlier(NamedTuple):
    """A run that was begun before: what it says of itself, in which file, and whether it came to its end."""

    facts: Mapping[str, Any]
    source: Path
    finished: bool


def stage_settings(config: Config, section: str) -> dict[str, Any]:
    """The settings that this stage's result depends on: the other stage's are none of its business."""
    settings = experiment(config)
    settings.pop("train" if section == "pretext" else "pretext")
    return settings


def intended_use(config: Config, section: str) -> dict[str, Any]:
    """How an embedder is meant to be evaluated, which its file says and which therefore distinguishes runs, though the same is
    learned: a run that went on with another use would say of its best epochs before one thing, and after it another. Of a
    pretext, which is never evaluated, it distinguishes nothing."""
    return {"evaluate": {"flip": config.evaluate.flip}} if section == "train" else {}


def arithmetic(config: Config) -> dict[str, Any]:
    """What else the bytes of the weights depend on, beside settings and data: how it is computed."""
    device = choose_device(config.device)
    facts = {"threads": thread_count(config.threads), "device": str(device)}
    facts |= {"precision": choose_precision(config.precision, device), "processes": world_size()}
    return facts | ({"sync_norm": config.sync_norm} if world_size() > 1 else {})


def is_replaced(config: Config, files: RunFiles, identity: Mapping[str, Any]) -> bool:
    """Whether `overwrite` replaces the run that stands in the place of this one. Raises InputError if it must be kept.

    identity: what is known of this run so far, its settings or settings and digests. A finished run of the same settings,
    data and arithmetic may be repeated, since it gives the same bytes, or be kept (`resume`). An unfinished one can only be
    gone on with, by the same arithmetic. With `resume` a finished one is kept whatever the arithmetic it was trained with.
    """
    try:
        earlier = find_earlier(files)
    except InputError:
        if config.overwrite:
            return True
        raise
    if earlier is None:
        return False
    changed = next(differences({key: earlier.facts.get(key) for key in identity}, identity), None)
    recomputed = next(_recomputed(config, earlier), None)
    if not changed and not recomputed and (config.resume or earlier.finished):
        return False
    if config.overwrite:
        return True
    source = repr(str(earlier.source))
    if changed or (recomputed and not config.resume):
        raise InputError(
            f"{source} belongs to a run with other settings or data ({changed or recomputed}); {OTHERS}, or replace it with"
            f" --overwrite"
        )
    if not config.resume:
        raise InputError(f"an unfinished run is in {source}; go on with --resume, or {OTHERS}, or replace it with --overwrite")
    if not earlier.finished:
        raise InputError(f"{source} cannot be resumed to the same result: {recomputed}; set it as it was")
    return False


def kept_although(config: Config, files: RunFiles) -> str | None:
    """How the arithmetic of the finished run that `resume` keeps differs from what is asked for now; None if it does not."""
    if files.snapshot.exists() or not files.receipt.exists():
        return None
    earlier = find_earlier(files)
    return ", ".join(_recomputed(config, earlier)) or None if earlier else None


def find_earlier(files: RunFiles) -> Earlier | None:
    """The run that stands where `files` are; None if there is none. Raises InputError if it cannot be read."""
    if files.snapshot.exists():
        content = read_snapshot(files.snapshot)
        return Earlier(content["arithmetic"] | content["identity"], files.snapshot, finished=False)
    if files.receipt.exists() and files.weights.exists():  # a receipt alone, such as a published one, keeps nobody from training
        return Earlier(read_receipt(files.receipt), files.receipt, finished=True)
    if files.weights.exists():
        raise InputError(
            f"{str(files.weights)!r} has no receipt {files.receipt.name!r} beside it that says what it was made with; put it"
            f" back, or {OTHERS}, or replace the weights with --overwrite"
        )
    return None


def read_snapshot(path: Path) -> dict[str, Any]:
    """The content of a snapshot: a dict of PARTS. Raises InputError."""
    choices = "remove it, or start anew with --overwrite"
    try:
        content = load_tensors(path, "the snapshot of an unfinished run")
    except InputError as error:
        raise InputError(f"{error}; {choices}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(part), dict) for part in PARTS):
        raise InputError(f"{str(path)!r} is not the snapshot of an unfinished run; {choices}")
    return content


def read_receipt(path: Path) -> dict[str, Any]:
    """The content of a receipt. Raises InputError."""
    choices = f"{OTHERS}, or train anew with --overwrite"
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # brackets in brackets, thousands deep
        raise InputError(f"receipt {str(path)!r} cannot be read; {choices}") from error
    if not isinstance(receipt, dict) or not isinstance(receipt.get("config"), dict):
        raise InputError(f"receipt {str(path)!r} is not one of this project; {choices}")
    return receipt


def differences(earlier: Any, now: Any, name: str = "") -> Iterator[str]:
    """Each setting in which two runs differ, as `name was value, is value`."""
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*earlier, *now]):  # a setting that is gone is a difference, too
            yield from differences(earlier.get(key), now.get(key), f"{name}.{key}")
    elif earlier != now:
        yield f"{name.removeprefix('.config').removeprefix('.')} was {_short(earlier)}, is {_short(now)}"


def versions() -> dict[str, str | None]:
    """Of Python and the packages that the bytes of the weights may depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """The commit of the code that runs, marked `+changes` if files differ from it; None outside a git checkout."""
    try:
        root = Path(__file__).resolve().parent.parent
        commit = _git(root, "rev-parse", "HEAD")
        code = (".", ":!results")  # some logs are kept by git and change while a run goes on
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no", "--", *code) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _recomputed(config: Config, earlier: Earlier) -> Iterator[str]:
    """Each fact of the arithmetic in which an earlier run differs from what is asked for now."""
    now = arithmetic(config)
    return differences({key: earlier.facts.get(key) for key in now}, now)


def _short(value: Any) -> str:
    """A value that may come from any file, in at most some dozens of characters."""
    return value if isinstance(value, str) and len(value) <= 100 else reprlib.repr(value)


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    """The installed version; None where another package provides the same module (opencv-python for the headless one)."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
