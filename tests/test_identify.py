"""The commands of identification and of templates, on tiny photographs: their lists, what they write, what they refuse."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import verification.embedding
from common.cli import read_arguments
from common.config import experiment, make_config
from common.errors import InputError
from datasets.readers.opening import open_reader
from models.embedder import build_embedder
from models.weights import save_weights
from tests.tiny import draw_people
from verification import identify, templates
from verification.evaluation import evaluation_config

READER = {"name": "folder", "validate_share": 0.25, "test_share": 0.5}


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    root = draw_people(tmp_path_factory.mktemp("people"))
    (root / "attributes.csv").write_text(
        "file_name,angle\n" + "".join(f"{name.relative_to(root).as_posix()},C{name.stem}\n" for name in root.glob("*/*.png")),
        encoding="utf-8",
    )
    return root


@pytest.fixture(scope="module")
def weights(people, tmp_path_factory) -> Path:
    """An untrained network: random filters tell patterns apart better than chance."""
    model = {"backbone": "small", "embedding_size": 16, "image_size": 24}
    config = make_config({"name": "net", "data": {"reader": READER, "root": str(people)}, "model": model})
    path = tmp_path_factory.mktemp("weights") / "net.pt"
    about = {"config": experiment(config), "evaluate": {"flip": True}}
    return save_weights(path, "embedder", build_embedder(config.model).state_dict(), about)


def carry_out(command, weights: Path, results: Path, *words: str) -> tuple[Path, dict]:
    """Run a command as from the command line; return the folder of its files and its figures."""
    options = ["--model_weight", str(weights), "--results", str(results), "--threads=1", *words]
    arguments = read_arguments("test", command.SHORT, options, command.WITHOUT)
    story, listed = {
        identify: (identify.identify, "identify.probes"),
        templates: (templates.verify_templates, "templates.photographs"),
    }[command]
    path = story(evaluation_config(arguments.configs, arguments.overrides, listed))
    return path.parent, json.loads(path.read_text(encoding="utf-8"))


def without_time(figures: dict) -> dict:
    return {key: value for key, value in figures.items() if key != "seconds"}


@pytest.fixture(scope="module")
def drawn(weights, tmp_path_factory) -> tuple[Path, dict]:
    return carry_out(identify, weights, tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def dealt(weights, tmp_path_factory) -> tuple[Path, dict]:
    return carry_out(templates, weights, tmp_path_factory.mktemp("dealt"), "--templates.size=2", "--templates.medium=angle")


def test_lists_are_drawn_from_the_data_set(drawn, people, weights):
    folder, figures = drawn
    probes, gallery, distractors = (pd.read_csv(folder / f"net_{name}.csv") for name in ("probes", "gallery", "distractors"))
    reader = open_reader(make_config({"data": {"reader": READER, "root": str(people)}}).data)
    assert sorted([*probes["photograph"], *gallery["photograph"]]) == reader.faces("test").file_names
    assert gallery["identity"].tolist() == reader.faces("test").identities and len(probes) == 24
    assert distractors["photograph"].tolist() == reader.faces("validate").file_names
    assert {path.name for path in folder.iterdir()} == {".lock", *(f"net_{ending}" for ending in identify.ENDINGS)}
    with Image.open(folder / "net_cmc.png") as picture:
        assert min(picture.size) > 300
    curve = pd.read_csv(folder / "net_cmc.csv")
    assert list(curve) == ["rank", "gallery", "distractors"] and curve["gallery"].dropna().is_monotonic_increasing
    assert curve["gallery"][0] == pytest.approx(figures["closed_set"]["accuracy_at_rank"]["1"]) and curve["gallery"][0] > 1 / 3
    assert figures["closed_set"]["people"] == 6 and figures["megaface"]["pairs"] == 6 * 4 * 3
    assert figures["open_set"]["tpir_at_fpir"]["1e-1"]["tpir"] <= figures["closed_set"]["accuracy_at_rank"]["1"]
    assert figures["open_set"]["tpir_at_fpir"]["1e-2"] is None and figures["images"] == 45 and figures["flip"]


def test_brought_lists_give_what_the_same_drawn_ones_gave(drawn, people, weights, tmp_path, capsys):
    folder, figures = drawn
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = [f"--{name}={folder / f'net_{name}.csv'}" for name in ("probes", "gallery", "distractors")]
    words.append(f"--data_root={people}")
    again, same = carry_out(identify, weights, folder.parent, *words)  # reads and replaces its own lists
    assert without_time(same) == without_time(figures)
    changed = {"net_identification.json"}
    assert {name: text for name, text in before.items() if name not in changed} == {
        path.name: path.read_bytes() for path in again.iterdir() if path.name not in changed
    }
    assert "in the gallery" in capsys.readouterr().out
    with pytest.raises(InputError, match="of other lists than these.*--overwrite"):
        carry_out(identify, weights, folder.parent, *words[:2], words[3])
    _, closed = carry_out(identify, weights, tmp_path, *words[:2], words[3])
    assert closed["closed_set"] == figures["closed_set"] and not {"megaface", "open_set"} & set(closed)
    _, only = carry_out(identify, weights, tmp_path, words[0], *words[2:], "--overwrite")
    assert only["megaface"] == figures["megaface"] and "closed_set" not in only
    assert not (tmp_path / "test" / "net_gallery.csv").exists()


def test_enrolled_photographs_have_the_attributes(weights, tmp_path, capsys):
    folder, _ = carry_out(identify, weights, tmp_path, "--enrol={angle: C2}")
    assert pd.read_csv(folder / "net_gallery.csv")["photograph"].str.endswith("/2.png").all()
    for attribute, value, right in (("angle", "C9", "angle is one of C0, C1"), ("pose", "C1", "its attributes are angle")):
        with pytest.raises(InputError, match=f"asks for {attribute} '{value}', which no photograph has; {right}"):
            carry_out(identify, weights, tmp_path, f"--enrol={{{attribute}: {value}}}")


def test_each_photograph_is_embedded_once(people, weights, tmp_path, monkeypatch):
    listed = []
    original = verification.embedding.decode_all
    monkeypatch.setattr(
        verification.embedding, "decode_all", lambda faces, *rest: (listed.extend(faces.file_names), original(faces, *rest))[1]
    )
    names = sorted(path.relative_to(people).as_posix() for path in people.glob("*/*.png"))[:15]
    everybody = write(tmp_path / "p.csv", "photograph,identity", *(f"{name},{name.split('/')[0]}" for name in names))
    words = [f"--probes={everybody}", f"--gallery={everybody}", f"--data_root={people}"]  # each is sought among the others
    _, figures = carry_out(identify, weights, tmp_path, *words)
    assert sorted(listed) == names and figures["closed_set"]["probes"] == 15 and figures["closed_set"]["people"] == 3


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_templates_are_dealt_from_the_data_set(dealt, people):
    folder, figures = dealt
    rows, pairs = (pd.read_csv(folder / f"net_template_{name}.csv") for name in ("photographs", "pairs"))
    reader = open_reader(make_config({"data": {"reader": READER, "root": str(people)}}).data)
    assert sorted(rows["photograph"]) == reader.faces("test").file_names and set(rows["medium"]) <= {f"C{n}" for n in range(5)}
    assert rows.groupby("template").size().between(2, 3).all() and figures["templates"] == rows["template"].nunique() == 12
    assert len(pairs) == figures["pairs"] == 12 * 11 / 2 and pairs["same"].sum() == figures["same_pairs"] == 6
    assert {path.name for path in folder.iterdir()} == {".lock", *(f"net_{ending}" for ending in templates.ENDINGS)}
    assert figures["tar_at_far"]["1e-1"] > 0.3 and figures["tar_at_far"]["1e-2"] is None and "no TAR at FAR" in figures["note"]


def test_brought_templates_give_what_the_same_dealt_ones_gave(dealt, people, weights, tmp_path, capsys):
    folder, figures = dealt
    words = [f"--{name}={folder / f'net_template_{name}.csv'}" for name in ("photographs", "pairs")]
    again, same = carry_out(templates, weights, tmp_path, *words, f"--data_root={people}")
    assert without_time(same) == without_time(figures)
    for name in ("scores.csv", "roc.png"):
        assert (again / f"net_template_{name}").read_bytes() == (folder / f"net_template_{name}").read_bytes()
    assert "at the nearest FAR" in capsys.readouterr().out
    unanswered = write(tmp_path / "pairs.csv", "template1,template2", *(",".join(row) for row in pairs_of(folder)))
    _, figures = carry_out(templates, weights, tmp_path / "new", words[0], f"--pairs={unanswered}", f"--data_root={people}")
    assert "tar_at_far" not in figures and "no answers are known" in figures["note"]
    scores = tmp_path / "new" / "test" / "net_template_scores.csv"
    assert scores.read_bytes() == (folder / "net_template_scores.csv").read_bytes()


def pairs_of(folder: Path) -> list[tuple[str, str]]:
    table = pd.read_csv(folder / "net_template_pairs.csv", dtype=str)
    return list(zip(table["template1"], table["template2"], strict=True))


A, B, C = "사람00/0.png", "사람00/1.png", "사람01/0.png"
D = "사람02/0.png"
HEAD = "photograph,identity"
GOOD = {"probes": [HEAD, f"{A},a", f"{C},c"], "gallery": [HEAD, f"{B},a", "사람01/1.png,c"], "distractors": ["photograph", D]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"probes": ["photograph", A]}, "lacks the column identity"),
        ({"gallery": [HEAD]}, "has a header but no rows"),
        ({"probes": [HEAD, f"{A},a", f"{A},a"]}, "lists 1 photographs more than once"),
        ({"probes": [HEAD, f"{A},a", "x.png,a"]}, "1 of 2 photographs are missing in"),
        ({"gallery": [HEAD, f"../{B},a"]}, "1 file names lead out of the data root"),
        ({"distractors": ["photograph", "/etc/passwd"]}, "1 file names lead out of the data root"),
        ({"probes": [HEAD, f"{A},a", f"{C}, "]}, r"1 of 2 rows have an empty identity \(the first in line 3\)"),
        ({"probes": [HEAD, f"{A},a", f"{C},z"]}, "1 of 2 probes have no other photograph of their person in the gallery"),
        ({"gallery": [HEAD, f"{A},a", "사람01/1.png,c"]}, "1 of 2 probes have no other photograph of their person"),
        ({"gallery": [HEAD, f"{B},a", f"{C},a"]}, "1 photographs show one person among the probes and another in the gallery"),
        ({"distractors": ["photograph", A]}, "1 photographs stand among the distractors and among the probes"),
        ({"distractors": [HEAD, f"{D},c"]}, "1 people stand among the distractors and among the probes"),
        ({"probes": [f"{HEAD},left,top", f"{A},a,1,2"]}, "has the face-box columns left, top; it needs all or none"),
        ({"probes": [f"{HEAD},left,top,right,bottom", f"{A},a,9,2,3,4"]}, "the face box of .* is '9', '2', '3', '4'"),
    ],
)
def test_lists_of_people_are_checked_whole(people, weights, tmp_path, changed, message):
    paths = {name: write(tmp_path / f"{name}.csv", *lines) for name, lines in {**GOOD, **changed}.items()}
    words = [f"--{name}={path}" for name, path in paths.items()]
    with pytest.raises(InputError, match=message) as refused:
        carry_out(identify, weights, tmp_path / "out", *words, f"--data_root={people}")
    assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()


def test_a_photograph_has_one_face_box(people, weights, tmp_path):
    boxed = f"{HEAD},left,top,right,bottom"
    lists = {"probes": [boxed, f"{A},a,1,1,30,30"], "gallery": [boxed, f"{A},a,1,1,30,31", f"{B},a,,,,"]}
    words = [f"--{name}={write(tmp_path / f'{name}.csv', *lines)}" for name, lines in lists.items()]
    with pytest.raises(InputError, match="gives 1 photographs another face box"):
        carry_out(identify, weights, tmp_path, *words, f"--data_root={people}")
    write(tmp_path / "gallery.csv", boxed, f"{A},a,,,,", f"{B},a,2,2,30,30")
    folder, _ = carry_out(identify, weights, tmp_path, *words, f"--data_root={people}")
    written = [(folder / f"net_{name}.csv").read_text(encoding="utf-8") for name in ("probes", "gallery")]
    assert written[0].endswith("1.0,1.0,30.0,30.0\n") and written[1].endswith("2.0,2.0,30.0,30.0\n")
    boxes = write(tmp_path / "boxes.csv", "file_name,left,top,right,bottom", f"{A},1,1,30,29")
    with pytest.raises(InputError, match="boxes.csv' gives 1 photographs another face box"):
        carry_out(identify, weights, tmp_path, *words, f"--data_root={people}", f"--data.boxes={boxes}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gallery=g.csv"], "--gallery g.csv needs --probes"),
        (["--data_root=x"], "--data_root x needs --probes"),
        (["--probes=p.csv"], "--probes needs --gallery"),
        (["--probes=p.csv", "--gallery=g.csv", "--enrol={angle: C1}"], "--enrol chooses the gallery that is drawn"),
        (["--probes=nowhere.csv", "--gallery=g.csv"], "'nowhere.csv' cannot be read"),
        (["--data.reader=folder", "--data.reader.test_share=0.3"], "was trained with data.reader.test_share = 0.5"),
    ],
)
def test_options_of_identification_that_do_not_fit_are_refused(weights, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        carry_out(identify, weights, tmp_path, *words)
    assert not list(tmp_path.iterdir())


ROWS = ["photograph,template,medium", f"{A},t,film", f"{B},t,film", f"{C},u,"]


@pytest.mark.parametrize(
    ("photographs", "pairs", "message"),
    [
        (["photograph,template", f"{A},t"], ["t,u,1"], "lacks the column medium"),
        ([*ROWS, f"{C},u,film"], ["t,u,1"], "lists 1 photographs twice in a template"),
        ([*ROWS, f"{C}, ,film"], ["t,u,1"], "1 of 4 rows have an empty template"),
        ([*ROWS, "x.png,t,film"], ["t,u,1"], "1 of 4 photographs are missing"),
        (["photograph,template,medium,quality", f"{A},t,,1", f"{C},u,,0"], ["t,u,1"], "line 3: quality is '0'"),
        (["photograph,template,medium,quality", f"{A},t,,", f"{C},u,,1"], ["t,u,1"], "line 2: quality is ''"),
        (ROWS, ["t,x,1"], "names 1 templates that have no photographs: x"),
        (ROWS, ["t,t,1"], "compares 1 templates with themselves: t"),
        (ROWS, ["t,u,2"], "line 2: same is '2'"),
    ],
)
def test_lists_of_templates_are_checked_whole(people, weights, tmp_path, photographs, pairs, message):
    words = [
        f"--photographs={write(tmp_path / 't.csv', *photographs)}",
        f"--pairs={write(tmp_path / 'p.csv', 'template1,template2,same', *pairs)}",
    ]
    with pytest.raises(InputError, match=message) as refused:
        carry_out(templates, weights, tmp_path / "out", *words, f"--data_root={people}")
    assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs=p.csv"], "--photographs and --pairs belong together"),
        (["--data_root=x"], "--data_root x needs --photographs"),
        (["--templates.medium=light"], "the attributes: angle"),
        (["--templates.size=0"], "templates.size' is 0"),
    ],
)
def test_options_of_templates_that_do_not_fit_are_refused(weights, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        carry_out(templates, weights, tmp_path, *words)
    assert not list(tmp_path.iterdir())


def test_a_reader_that_does_not_know_whom_its_photographs_show_is_told(weights, tmp_path):
    for split in ("test", "validate"):
        (tmp_path / split).mkdir()
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / split / name).touch()
        write(tmp_path / split / f"{split}_label.csv", "image1,image2,label", "a.jpg,b.jpg,0")
    for command in (identify, templates):
        with pytest.raises(InputError, match="'competition' does not know whom its test photographs show"):
            carry_out(command, weights, tmp_path / "out", "--data.reader=competition", f"--data.root={tmp_path}")
