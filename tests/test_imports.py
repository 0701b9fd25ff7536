"""What may import what: only downward, and packages of one level not one another."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMON = {"common", "distributed"}
MAY_IMPORT = {
    "distributed": set(),
    "common": {"distributed"},
    "datasets": COMMON,
    "models": COMMON,
    "losses": COMMON,
    "recipes": COMMON | {"datasets", "models", "losses"},
    "verification": COMMON | {"datasets", "models"},
    "training": COMMON | {"datasets", "models", "losses", "recipes"},
    "benchmarks": COMMON | {"datasets", "models", "losses", "recipes", "training", "verification"},
}
SCRIPTS = {"train_pretext", "train", "evaluate", "export", "run", "benchmark", "leaderboard"}
OURS = set(MAY_IMPORT) | SCRIPTS


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in the file it does."""
    return {name.split(".")[0] for name in imported_modules(path)}


def imported_modules(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the package"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_lower_ones(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = (imported(path) & OURS) - MAY_IMPORT[package] - {package}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_loop_knows_nothing_of_faces():
    assert imported(ROOT / "training" / "engine.py") & OURS <= {*COMMON, "recipes", "training"}


def test_manifests_know_neither_pixels_nor_tensors():
    for name in ("manifest.py", "readers", "pairs"):
        path = ROOT / "datasets" / name
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            assert not imported(file) & {"torch", "cv2", "PIL"}, file


def test_every_package_and_script_is_known_here():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(MAY_IMPORT)
    assert {path.stem for path in ROOT.glob("*.py")} == SCRIPTS
