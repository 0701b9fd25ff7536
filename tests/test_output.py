"""The files of one evaluation: all of it or none of it, and told in time if they cannot be written."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

import verification.output
from common.config import Config
from common.errors import InputError
from common.files import locked
from datasets.manifest import Pairs
from verification.output import ENDINGS, answers, check_output, written_together

PAIRS = Pairs.of(["a", 'b,"c"', "줄\n바꿈"], ["d", "e", "f"], None, Path("."))
ROWS = 'image1,image2,label\na,d,0\n"b,""c""",e,1\n"줄\n바꿈",f,0\n'


def write(folder: Path, content: str, endings=ENDINGS) -> None:
    with written_together(folder, "run") as hidden:
        for ending in endings:
            (hidden / f"run_{ending}").write_text(content)


def visible(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != ".lock"}


def files(content: str, endings=ENDINGS) -> dict[str, str]:
    return {f"run_{ending}": content for ending in endings}


def test_new_files_replace_the_old_and_what_has_no_successor_goes(tmp_path):
    (tmp_path / "other_roc.png").write_text("of another evaluation")
    write(tmp_path, "old")
    assert visible(tmp_path) == files("old") | {"other_roc.png": "of another evaluation"}
    write(tmp_path, "new", ["preds.csv", "scores.csv"])
    assert visible(tmp_path) == files("new", ["preds.csv", "scores.csv"]) | {"other_roc.png": "of another evaluation"}


def test_a_failure_while_writing_leaves_the_old_files(tmp_path):
    write(tmp_path, "old")
    with pytest.raises(OSError), written_together(tmp_path, "run") as hidden:
        (hidden / "run_scores.csv").write_text("new")
        raise OSError("No space left on device")
    assert visible(tmp_path) == files("old")


def killed_while_writing(folder: Path) -> None:
    with written_together(folder, "run") as hidden:
        (hidden / "run_scores.csv").write_text("new")
        os.kill(os.getpid(), signal.SIGKILL)


def killed_between_renames(folder: Path, renames: int) -> None:
    left = iter(range(renames))
    original = os.replace

    def replace(*paths):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        original(*paths)

    verification.output.os.replace = replace
    write(folder, "new")


def carry_out(target, *arguments) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def test_a_kill_while_writing_leaves_the_old_files_and_the_next_evaluation_cleans_up(tmp_path):
    write(tmp_path, "old")
    assert carry_out(killed_while_writing, tmp_path) == -signal.SIGKILL
    assert (tmp_path / ".run.partial").is_dir()
    assert {name: text for name, text in files("old").items() if (tmp_path / name).read_text() == text} == files("old")
    write(tmp_path, "new")
    assert visible(tmp_path) == files("new")


@pytest.mark.parametrize("renames", range(len(ENDINGS)))
def test_a_kill_between_renames_leaves_no_submission_beside_files_of_another_evaluation(tmp_path, renames):
    write(tmp_path, "old")
    assert carry_out(killed_between_renames, tmp_path, renames) == -signal.SIGKILL
    assert not (tmp_path / "run_preds.csv").exists()
    write(tmp_path, "again")
    assert visible(tmp_path) == files("again")


def test_evaluations_wait_for_one_another(tmp_path):
    with written_together(tmp_path, "run"), pytest.raises(BlockingIOError), locked(tmp_path / ".lock", wait=False):
        pass


def test_the_pairs_of_a_submission_are_recognised_whatever_the_answers(tmp_path):
    path = tmp_path / "run_preds.csv"
    path.write_text(ROWS, encoding="utf-8")
    assert answers(path, PAIRS)
    path.write_text(ROWS.replace("d,0", "d,1"), encoding="utf-8")
    assert answers(path, PAIRS)
    for other in (ROWS + "g,h,0\n", ROWS.replace("a,d", "d,a"), "image1,image2,label\n", "", "\0", '"'):
        path.write_text(other, encoding="utf-8")
        assert not answers(path, PAIRS)
    path.write_bytes(b"image1,image2,label\n\xff,d,0\n")
    assert not answers(path, PAIRS)


def config(results: Path, **settings: object) -> Config:
    return dataclasses.replace(Config(), name="run", results=str(results), **settings)


def test_what_keeps_the_files_from_being_written_is_told(tmp_path):
    check_output(config(tmp_path / "new"), PAIRS)
    assert list((tmp_path / "new" / "test").iterdir()) == []
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "test").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for results in ("file", "taken", "dangling", "file/deep"):
        with pytest.raises(InputError, match="should be a folder of results and is none"):
            check_output(config(tmp_path / results), PAIRS)
    (tmp_path / "test" / "run_roc.png").mkdir(parents=True)
    with pytest.raises(InputError, match="run_roc.png' should be a file of results and is a folder"):
        check_output(config(tmp_path), PAIRS)
    with pytest.raises(InputError, match="cannot be written to .*too long"):
        check_output(dataclasses.replace(config(tmp_path / "new"), name="n" * 240), PAIRS)


def test_a_folder_without_permission_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may be root, who may write anywhere
    with pytest.raises(InputError, match="where you may not write"):
        check_output(config(tmp_path), PAIRS)


def test_other_pairs_need_overwrite(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "run_preds.csv").write_text(ROWS, encoding="utf-8")
    check_output(config(tmp_path), PAIRS)
    other = Pairs.of(["a"], ["d"], None, Path("."))
    with pytest.raises(InputError, match="answers other pairs than these"):
        check_output(config(tmp_path), other)
    check_output(config(tmp_path, overwrite=True), other)
