"""The house's walls: what may import what. Only downward, and rooms on the same floor not from one another."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = {"errors", "registry", "files", "progress", "config", "processes", "collectives", "memory"}
SCRIPTS = {"train_pretext", "train", "evaluate", "export", "run", "benchmark", "cli"}
MAY_IMPORT = {
    "datasets": BASE,
    "models": BASE,
    "losses": BASE,
    "recipes": BASE | {"datasets", "models", "losses"},
    "training": BASE | {"models", "losses", "recipes"},
    "verification": BASE | {"datasets", "models"},
    "benchmarks": BASE | {"datasets", "models", "losses", "recipes", "training", "verification"},
}
OURS = set(MAY_IMPORT) | BASE | SCRIPTS


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in the file it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_lean_only_on_lower_ones(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        wrong = (imported(path) & OURS) - MAY_IMPORT[room] - {room}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_base_leans_on_nothing_but_the_base():
    for name in BASE:
        assert imported(ROOT / f"{name}.py") & OURS <= BASE


def test_the_loop_knows_nothing_of_faces():
    assert imported(ROOT / "training" / "engine.py") & OURS <= {
        "errors",
        "memory",
        "processes",
        "progress",
        "recipes",
        "training",
    }


def test_manifests_know_neither_pixels_nor_tensors():
    assert not imported(ROOT / "datasets" / "manifest.py") & {"torch", "cv2", "PIL"}


def test_every_room_and_script_is_known_here():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert rooms <= set(MAY_IMPORT)
    assert {path.stem for path in ROOT.glob("*.py")} <= BASE | SCRIPTS
