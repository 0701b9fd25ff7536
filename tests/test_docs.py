"""The documentation is true: its commands have the options they use, its programs run, its links lead somewhere."""

import contextlib
import functools
import io
import re
from pathlib import Path

import pytest

from common.errors import InputError
from docs.check import carry_out_page, stage, without_starting
from docs.commands import TRAINING, check_command, check_options, check_program, check_script, check_yaml, start
from docs.pages import PAGES, ROOT, Block, Faulty, blocks, check_links, inline_commands

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SCRIPTS = [*TRAINING, "evaluate", "export"]


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    return stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("name", NAMES)
def test_every_block_has_a_class_and_every_command_the_options_it_uses(name):
    for block in blocks(ROOT / name):
        if block.language == "bash":
            check_options(block.code, block.place)
        elif block.language == "yaml":
            check_yaml(block)
        elif block.language == "python":
            compile(block.code, block.place, "exec")


@pytest.mark.parametrize("name", NAMES)
def test_options_and_commands_in_running_text_exist(name):
    for span in inline_commands(ROOT / name):
        if span.startswith("--"):
            assert any(accepts(script, span) for script in SCRIPTS), f"{name}: no script takes {span}"
        elif re.fullmatch(r"python -m [\w.]+", span):  # mentioned only
            check_program(span.split()[-1])
        else:
            check_options(span, name)


def accepts(script: str, option: str) -> bool:
    """Whether the script knows the option, which may be named alone, without a value."""
    if "=" not in option:
        return option in help_of(script)
    try:
        check_script(script, [option], thoroughly=False)
    except (Faulty, InputError):
        return False
    return True


@functools.cache
def help_of(script: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        start(script, ["--help"])
    return said.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    check_links(ROOT / name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_marked_run_runs(name, staged):
    for _ in carry_out_page(ROOT / name, staged, ["run"], without_starting):
        pass


def test_the_first_page_is_short():
    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    assert len(words) <= 900


@pytest.mark.parametrize(
    "command",
    [
        "python nothing.py",
        "python run.py --train.nothing=1",
        "python run.py --train.terms.nothing.weight=1",
        "python run.py --data.reader=nothing",
        "python train.py --train.recipe.nothing=1",
        "python evaluate.py --nothing",
        "python benchmark.py --only nothing",
        "python leaderboard.py configs/leaderboard/nothing.yaml",
        "python leaderboard.py configs/leaderboard/smoke.yaml --only nothing",
        "python leaderboard.py configs/leaderboard/smoke.yaml --steps nothing",
        "python -m verification.curves a.jsonl",
        "torchrun --nproc-per-node 2 run.py --nothing=1",
        "make nothing",
        "pip install -r nothing.txt",
        "sudo anything",
    ],
)
def test_a_command_that_would_fail_is_found(command):
    with pytest.raises(Faulty):
        check_options(command, "here")


def test_a_command_that_would_not_fail_is_not_found():
    check_command(["python", "train.py", "--config", "configs/smoke.yaml", "--epochs", "3"])
    check_options(
        "TRIARCHY_CACHE=x python run.py --data.reader=cfp --data.reader.fold=3 --data.root \\\n  x && echo done", "here"
    )


@pytest.mark.parametrize(
    "text", ["```bash\nls\n```\n", "```python slow\n1\n```\n", "```\nls\n```\n", "a\n\n    python run.py\n", "```text\n"]
)
def test_a_block_without_a_class_is_found(text, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.setattr("docs.pages.ROOT", tmp_path)
    with pytest.raises(Faulty):
        blocks(page)


def test_a_wrong_setting_is_found():
    with pytest.raises(Faulty, match="brightnes"):
        check_yaml(Block(ROOT / "README.md", 1, "yaml", "settings", "", "model: {brightnes: 1}\n"))


def test_a_leaderboard_that_could_not_be_trained_is_found():
    for backbone, fault in (("small", ""), ("nothing", "unknown backbone"), ("{name: small, x: 1}", "has no option x")):
        code = (
            f"{{title: x, base: smoke, budget: {{images: 9}}, methods: {{a: {{}}}}, networks: {{b: {{backbone: {backbone}}}}}}}"
        )
        with pytest.raises(Faulty, match=fault) if fault else contextlib.nullcontext():
            check_yaml(Block(ROOT / "README.md", 1, "yaml", "leaderboard", "", code))


def test_a_link_to_nothing_is_found(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr("docs.pages.ROOT", tmp_path)
    for text in ("[x](nothing.md)", "[x](#nothing)"):
        page.write_text(f"# Title here\n[y](#title-here)\n{text}\n")
        with pytest.raises(Faulty, match="nothing"):
            check_links(page)
