"""Students and teachers: what a teacher says, that nothing of it ships, whole runs that go on to the same bytes, refusals."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import run as solution
import training.run
from benchmarks.leaderboard.budget import images_per_epoch
from common.cli import CONFIGS, DEFAULT_CONFIG, read_arguments
from common.config import Config, read_config
from common.errors import InputError
from datasets.manifest import Manifest
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from losses.objective import Objective
from models.embedder import build_embedder
from models.model_file import read_embedder
from models.weights import file_digest, load_weights, save_weights
from recipes.distill import Distill
from tests.started import run_two
from tests.test_runs import contents
from tests.tiny import draw_people, tiny_settings
from train import train
from training.checks import check_settings
from training.run import Run

pytestmark = pytest.mark.usefixtures("pictures_as_digests")

SIDE, LARGER = 24, 32  # pixels of the student's and the teacher's images
TERMS = ["softmax", {"name": "template", "weight": 10}, "soft_targets", "fitnet"]
MAPS = {"stage1": "stage1", "stage4": "stage3"}


@pytest.fixture(scope="module", autouse=True)
def no_commit():
    """Asking git takes longer than these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "git_commit", lambda: "c")
        yield


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"), people=9, photographs=4)


def config(people: Path, results: Path, base: Path = DEFAULT_CONFIG, **overrides: object) -> Config:
    """Settings of a tiny run; as in `tiny_settings`, a name of two underscores stands for one with a dot."""
    values = {"threads": 1, "pretext__epochs": 0, "train__epochs": 2, "train__batch_size": 4, "train__num_instances": 2}
    values |= {"train__terms": "[softmax, triplet]"}
    settings = tiny_settings(people, results, **values | {name: _yaml(value) for name, value in overrides.items()})
    dropped = ("train.terms.", "train.recipe.", "train.augment.")
    settings = [setting for setting in settings if not setting.removeprefix("--").startswith(dropped)]
    return read_config([base], read_arguments("test", {}, settings).overrides)


def _yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


@pytest.fixture(scope="module")
def teacher(people, tmp_path_factory) -> Path:
    """Weights of a teacher of larger images and embeddings than its students', whitened, each of whose epochs is kept."""
    settings = {"name": "teacher", "model__embedding_size": 20, "model__image_size": LARGER, "train__keep_every": 1}
    return train(config(people, tmp_path_factory.mktemp("teacher"), train__recipe={"name": "metric", "whiten": 30}, **settings))


def student(people: Path, results: Path, teachers: object, several: str = "ensemble", **overrides: object) -> Config:
    """Settings of a student of one teacher, or of a list of them; with maps if a loss term compares them."""
    recipe = {"name": "distill", "teacher": teachers, "several": several}
    if "fitnet" in overrides.setdefault("train__terms", TERMS):
        recipe["maps"] = MAPS
    return config(people, results, **{"train__recipe": recipe, **overrides})


def kept(teacher: Path) -> list[Path]:
    return [teacher.with_name(f"teacher.epoch-{epoch:03d}.pt") for epoch in (1, 2)]


def training_data(config: Config) -> tuple[Manifest, Photographs]:
    faces = open_reader(config.data).faces("train")
    return faces, Photographs(faces, config.model.image_size, "read")


def recipe_of(config: Config) -> Distill:
    """The recipe as the loop has it at the start."""
    faces, photographs = training_data(config)
    options = {name: value for name, value in config.train.recipe.items() if name != "name"}
    torch.manual_seed(0)
    return Distill(config, faces, photographs, **options).train()


def what_losses_are_given(recipe: Distill, monkeypatch, batches: int = 1) -> list[tuple[dict, dict]]:
    """For each of some batches: the batch, and what the loss terms are given of it."""
    given = []
    forward = Objective.forward
    monkeypatch.setattr(Objective, "forward", lambda self, **context: given.append(context) or forward(self, **context))
    recipe.on_epoch_start(0)
    shown = list(recipe.loader(0))[:batches]
    for batch in shown:
        recipe(batch)
    monkeypatch.undo()
    return list(zip(shown, given, strict=True))


def test_the_teacher_says_what_it_says_alone_of_the_same_images(people, tmp_path, teacher, monkeypatch):
    """An independent pass, from the files: the augmented images at the teacher's size, its embeddings as they ship, its maps,
    and its classifier's opinion of its embeddings before whitening."""
    recipe = recipe_of(student(people, tmp_path, str(teacher), train__augment=["flip", {"name": "erasing", "probability": 0.5}]))
    shipped = read_embedder(teacher).embedder
    content = torch.load(teacher.with_suffix(".classifier.pt"), weights_only=True)
    plain = build_embedder(read_embedder(teacher).model).eval()
    plain.load_state_dict({name[8:]: value for name, value in content["state"].items() if name.startswith("network.")})
    loss = {name[24:]: value for name, value in content["state"].items() if name.startswith("objective.losses.softmax.")}
    for batch, given in what_losses_are_given(recipe, monkeypatch, batches=2):
        images = batch["image"].permute(0, 3, 1, 2) / 127.5 - 1
        images = functional.interpolate(images, (LARGER, LARGER), mode="bilinear", antialias=True)
        with torch.no_grad():
            layers = shipped.backbone.network  # three to a stage
            maps = {name: layers[: 3 * int(name[-1])](images) for name in MAPS.values()}
            torch.testing.assert_close(given["teacher_embeddings"], shipped(images))
            logits = functional.linear(plain(images), loss[".classifier.weight"], loss[".classifier.bias"])
            statistics = loss[".norm.running_mean"], loss[".norm.running_var"], loss[".norm.weight"], loss[".norm.bias"]
            torch.testing.assert_close(given["teacher_logits"], functional.batch_norm(logits, *statistics))
        for found, name in zip(given["teacher_maps"], MAPS.values(), strict=True):
            torch.testing.assert_close(found, maps[name])
        assert not any(given[name].requires_grad for name in ("teacher_embeddings", "teacher_logits"))
        assert given["embeddings"].requires_grad and [each.shape[1] for each in given["maps"]] == [16, 64]


def test_the_student_is_the_one_that_learns(people, tmp_path, teacher, monkeypatch):
    """It starts as without a teacher and has its own maps; of the teacher nothing trains, moves or is saved."""
    settings = student(people, tmp_path, str(teacher))
    recipe = recipe_of(settings)
    torch.manual_seed(0)
    alone = build_embedder(settings.model)
    assert all(torch.equal(value, alone.state_dict()[name]) for name, value in recipe.network.state_dict().items())
    frozen = recipe.teachers.present[0]
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    optimizer = torch.optim.SGD(recipe.parameter_groups(), lr=0.1)
    ((batch, given),) = what_losses_are_given(recipe, monkeypatch)
    own = recipe.network.backbone.stages()["stage4"]
    assert torch.equal(given["embeddings"], recipe.network.head(given["maps"][1])) and isinstance(own, torch.nn.SiLU)
    sum(recipe(batch).terms.values()).backward()
    optimizer.step()
    recipe.train()
    assert not any(module.training for module in frozen.modules())
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert not any(weight.requires_grad or weight.grad is not None for weight in frozen.parameters())
    ours = {name.split(".")[0] for name, _ in [*recipe.named_parameters(), *recipe.named_buffers()]}
    assert ours == {"network", "objective"} == {name.split(".")[0] for name in recipe.state_dict()}
    recipe.to(torch.float64)
    assert next(frozen.parameters()).dtype == torch.float64  # it moves along


def test_what_no_loss_asks_for_is_neither_computed_nor_read(people, tmp_path, teacher, monkeypatch):
    alone = tmp_path / "alone.pt"
    alone.write_bytes(teacher.read_bytes())  # without a classifier beside it
    recipe = recipe_of(student(people, tmp_path, str(alone), train__terms=["softmax", "template"]))
    ((_, given),) = what_losses_are_given(recipe, monkeypatch)
    assert set(given) == {"embeddings", "labels", "teacher_embeddings"}
    assert recipe.teacher_digests() == {str(alone): file_digest(alone)}


def test_an_ensemble_of_copies_is_the_one_and_of_others_their_mean(people, tmp_path, teacher, monkeypatch):
    terms = {"train__terms": TERMS[:3]}
    first, last = map(str, kept(teacher))

    def answers(paths):
        ((_, given),) = what_losses_are_given(recipe_of(student(people, tmp_path, paths, **terms)), monkeypatch)
        return given["teacher_embeddings"], given["teacher_logits"]

    alone, other, twice, both = answers(first), answers([last]), answers([first, first]), answers([first, last])
    cosines = [functional.normalize(each) @ functional.normalize(each).T for each, _ in (alone, other)]
    torch.testing.assert_close(twice[0] @ twice[0].T, cosines[0])
    torch.testing.assert_close(twice[1], alone[1])
    torch.testing.assert_close(both[0] @ both[0].T, (cosines[0] + cosines[1]) / 2)
    torch.testing.assert_close(both[1], (alone[1] + other[1]) / 2)
    assert both[0].shape[1] == 40 and not torch.allclose(cosines[0], cosines[1], atol=1e-3)


def die_after_epoch(monkeypatch, config: Config, stop_after: int) -> None:
    """Train until the process dies, right after a snapshot."""
    saved, calls = Run.save_snapshot, []

    def save_then_die(self, *arguments):
        saved(self, *arguments)
        calls.append(1)
        if len(calls) == stop_after:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(Run, "save_snapshot", save_then_die)
        train(config)


def test_a_whole_run_from_yaml(people, tmp_path, teacher, capsys):
    """configs/distill.yaml at tiny size, in one command: files, log and receipt name the teacher, and nothing of it ships."""
    before = teacher.read_bytes()
    small = {"base": CONFIGS / "distill.yaml", "train__recipe": {"teacher": str(teacher)}, "train__optimizer": "adam"}
    small |= {"train__terms": {"template": {"weight": 10}}, "train__schedule": "constant"}
    solution.run(config(people, tmp_path, **small))
    said = capsys.readouterr().out
    score = load_weights(teacher)["about"]["validation"]["score"]
    count = read_embedder(teacher).parameters
    assert said.count(f"train: taught by {str(teacher)!r}: {count:,} parameters, validation score {score:.4f}\n") == 1
    assert (tmp_path / "test/tiny_metrics.json").exists() and not (tmp_path / "train/weights/tiny-pretext.pt").exists()
    weights = load_weights(tmp_path / "train/weights/tiny.pt")
    digests = {str(teacher): file_digest(teacher)}
    own = build_embedder(read_embedder(tmp_path / "train/weights/tiny.pt").model).state_dict()
    assert {name: value.shape for name, value in weights["state"].items()} == {name: each.shape for name, each in own.items()}
    assert weights["about"]["teacher_digests"] == digests
    assert json.loads((tmp_path / "train/weights/tiny.json").read_text())["teacher_digests"] == digests
    rows = [json.loads(row) for row in (tmp_path / "train/logs/tiny.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(row["teacher_digests"] == digests and {"softmax", "template"} <= set(row) for row in rows)
    assert teacher.read_bytes() == before


@pytest.fixture(scope="module")
def in_turn(people, teacher, tmp_path_factory) -> Path:
    """Results of an uninterrupted run of four epochs with two teachers in turn, an average, and all kinds of terms."""
    results = tmp_path_factory.mktemp("in_turn")
    train(student(people, results, list(map(str, kept(teacher))), "in_turn", **TURNS))
    return results


TURNS = {"train__epochs": 4, "train__ema": 0.9, "train__keep_every": 2, "train__validate_every": 3}


def test_teachers_take_turns(in_turn, teacher):
    rows = [json.loads(row) for row in (in_turn / "train/logs/tiny.jsonl").read_text().splitlines()]
    first, last = ([str(path), str(path.with_suffix(".classifier.pt"))] for path in kept(teacher))
    assert [list(row["teacher_digests"]) for row in rows] == [first, first, last, last]
    receipt = json.loads((in_turn / "train/weights/tiny.json").read_text())
    assert receipt["teacher_digests"] == {path: file_digest(path) for path in [*first, *last]}
    files = {path.name for path in (in_turn / "train/weights").iterdir()}
    assert set(receipt["kept"]) == files - {"tiny.pt", "tiny.classifier.pt", "tiny.json"} and len(receipt["kept"]) == 4


def test_a_later_teacher_teaches_what_its_file_says(people, tmp_path, teacher, monkeypatch):
    given = {}
    for several, paths in (("ensemble", str(kept(teacher)[1])), ("in_turn", list(map(str, kept(teacher))))):
        recipe = recipe_of(student(people, tmp_path, paths, several, train__epochs=2))
        recipe.on_epoch_start(1)
        monkeypatch.setattr(recipe, "on_epoch_start", lambda epoch: None)
        ((_, given[several]),) = what_losses_are_given(recipe, monkeypatch)
    assert torch.equal(given["ensemble"]["teacher_embeddings"], given["in_turn"]["teacher_embeddings"])
    assert torch.equal(given["ensemble"]["teacher_logits"], given["in_turn"]["teacher_logits"])


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_student_that_dies_resumes_to_the_same_bytes(people, tmp_path, teacher, in_turn, monkeypatch, stop_after):
    """Before the change of teachers, and at it. A snapshot has nothing of the teacher but its digest."""
    settings = student(people, tmp_path, list(map(str, kept(teacher))), "in_turn", **TURNS)
    die_after_epoch(monkeypatch, settings, stop_after)
    snapshot = torch.load(tmp_path / "train/weights/tiny.snapshot", weights_only=True)
    assert {name.split(".")[0] for name in snapshot["recipe"]} == {"network", "objective", "average"}
    assert set(snapshot["identity"]["teacher_digests"]) >= set(map(str, kept(teacher)))
    train(student(people, tmp_path, list(map(str, kept(teacher))), "in_turn", **TURNS, resume="true"))
    assert contents(tmp_path) == contents(in_turn)


def test_a_changed_teacher_is_another_run(people, tmp_path, teacher, monkeypatch):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(kept(teacher)[0].read_bytes())
    settings = {"train__terms": ["softmax", "angular"]}
    die_after_epoch(monkeypatch, student(people, tmp_path, str(mine), **settings), 1)
    mine.write_bytes(kept(teacher)[1].read_bytes())
    with pytest.raises(InputError, match=r"other settings or data \(teacher_digests\..*mine.pt was [0-9a-f]{64}, is "):
        train(student(people, tmp_path, str(mine), **settings, resume="true"))
    recipe = recipe_of(student(people, tmp_path, [str(mine), str(kept(teacher)[0])], "in_turn", **settings))
    mine.write_bytes(b"")
    recipe.on_epoch_start(0)  # it has been read
    recipe.on_epoch_start(1)
    with pytest.raises(InputError, match="mine.pt"):
        recipe.on_epoch_start(0)
    mine.write_bytes(kept(teacher)[0].read_bytes())
    with pytest.raises(InputError, match="mine.pt' has changed since the training began; put it back"):
        recipe.on_epoch_start(0)


def test_a_teacher_that_the_run_would_replace_is_refused(people, teacher):
    before = contents(teacher.parents[2])
    for path in (teacher, *kept(teacher)):
        settings = student(people, teacher.parents[2], str(path), train__terms=["pkt"], name="teacher", overwrite="true")
        with pytest.raises(InputError, match="pt' is a file that this run would replace; choose another --name"):
            train(settings)
    assert contents(teacher.parents[2]) == before


def test_generations_are_runs_one_after_another(people, tmp_path, teacher, monkeypatch):
    """Two in one command are, but for their settings, the bytes of two commands; a process that dies in the second goes on."""
    settings = {"train__terms": ["softmax", "angular"], "train__recipe": {"name": "distill", "teacher": str(teacher)}}
    train(config(people, tmp_path / "whole", train__generations=2, **settings))
    first, last = (tmp_path / "whole/train/weights" / name for name in ("tiny-1.pt", "tiny.pt"))
    receipts = [json.loads(path.with_suffix(".json").read_text()) for path in (first, last)]
    assert [receipt["start_digest"] for receipt in receipts] == [None, file_digest(first.with_suffix(".classifier.pt"))]
    assert all(receipt["teacher_digests"] == {str(teacher): file_digest(teacher)} for receipt in receipts)

    train(config(people, tmp_path / "apart", name="one", **settings))
    start = tmp_path / "apart/train/weights/one.classifier.pt"
    apart = train(config(people, tmp_path / "apart", name="two", train__pretrained_weight=str(start), **settings))
    for ours, path in ((first, start.with_name("one.pt")), (last, apart)):
        state = load_weights(path)["state"]
        assert all(torch.equal(value, state[name]) for name, value in load_weights(ours)["state"].items())

    die_after_epoch(monkeypatch, config(people, tmp_path / "broken", train__generations=2, **settings), 3)
    assert (tmp_path / "broken/train/weights/tiny-1.pt").exists()
    with pytest.raises(InputError, match="an unfinished run is in .*tiny.snapshot"):
        train(config(people, tmp_path / "broken", train__generations=2, **settings))
    train(config(people, tmp_path / "broken", train__generations=2, resume="true", **settings))
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_a_run_in_the_place_of_the_last_generation_is_told_before_the_first(people, tmp_path, teacher):
    settings = {"train__terms": ["softmax", "angular"], "train__recipe": {"name": "distill", "teacher": str(teacher)}}
    settings |= {"train__epochs": 1}
    train(config(people, tmp_path, **settings))
    for story in (train, solution.run):
        with pytest.raises(InputError, match=r"tiny.json' belongs to .*train.generations was 1, is 3"):
            story(config(people, tmp_path, train__generations=3, **settings))
    assert not list((tmp_path / "train").rglob("tiny-1*"))


TWO = {"model__head": {"name": "pool", "dropout": 0.0}, "train__epochs": 4, "train__validate_every": 4, "train__save_every": 4}


def test_two_processes_learn_what_one_learns(people, tmp_path, teacher):
    """Each asks the teachers about its own share of the batch. What rounding leaves of equality: 1e-4 of the largest weight."""
    paths = list(map(str, kept(teacher)))
    settings = {"people": people, "teachers": paths, "several": "in_turn", **TWO}
    one = train(student(results=tmp_path / "one", **settings))
    file = tmp_path / "two.yaml"
    file.write_text(json.dumps(dataclasses.asdict(student(results=tmp_path / "two", **settings))), encoding="utf-8")
    ends = run_two("train.py", ["--config", str(file)], tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    assert "".join(said for _, said in ends).count("train: taught by ") == 1
    expected, found = (load_weights(results / "train/weights/tiny.pt") for results in (one.parents[2], tmp_path / "two"))
    for name, value in expected["state"].items():
        assert torch.allclose(found["state"][name], value, rtol=0, atol=1e-4 * float(value.abs().max())), name
    assert found["about"]["teacher_digests"] == expected["about"]["teacher_digests"]


def test_images_of_an_epoch_are_counted_without_memory(people, tmp_path, teacher):
    settings = student(people, tmp_path, str(teacher))
    faces, _ = training_data(settings)
    assert images_per_epoch(settings, "train") == 8 * (len(faces.identities) // 4)


def test_a_teacher_may_be_larger_than_a_student_may(people, tmp_path, teacher):
    limit = {"model__max_parameters": read_embedder(teacher).parameters - 1}
    check_settings(student(people, tmp_path, str(teacher), **limit), training_data(config(people, tmp_path))[0], "train")


@pytest.fixture(scope="module")
def files(teacher, tmp_path_factory) -> dict[str, str]:
    """Teachers by name: a good one, one without a classifier, with that of another run, of other people, and with two."""
    folder = tmp_path_factory.mktemp("files")
    model = dataclasses.replace(read_embedder(teacher).model, embedding_size=8)
    about = {"config": {"model": dataclasses.asdict(model)}}
    save_weights(folder / "alone.pt", "embedder", build_embedder(model).state_dict(), about)
    content, beside = load_weights(teacher), load_weights(teacher.with_suffix(".classifier.pt"), ("classifier",))
    two = {"config": content["about"]["config"] | {"train": {"terms": ["softmax", "arcface"]}}}
    changed = {"other": ({}, {"run": "another"}), "strange": ({}, {"identities": ["a"]}), "two": (two, two)}
    for name, (own, its) in changed.items():
        save_weights(folder / f"{name}.pt", "embedder", content["state"], content["about"] | own)
        save_weights(folder / f"{name}.classifier.pt", "classifier", beside["state"], beside["about"] | its)
    return {name: str(folder / f"{name}.pt") for name in ("alone", *changed)} | {"good": str(teacher), "absent": "absent.pt"}


FIT, PKT = {"train__terms": TERMS, "maps": MAPS}, {"train__terms": ["pkt"]}


@pytest.mark.parametrize(
    "teachers, changes, message",
    [
        ("absent", PKT, "'absent.pt' cannot be read .*; train.recipe.teacher should be a weight file"),
        ([], PKT, "train.recipe.teacher is empty"),
        ("good", PKT | {"data__reader__split_seed": 5}, "teacher.pt' was trained with data.reader.split_seed = None, and now"),
        ("good", {"train__terms": ["softmax"]}, "no loss term asks for what a teacher says .teacher_embeddings"),
        ("good", {"train__terms": ["softmax", "fsp"]}, "loss terms compare maps; train.recipe.maps should pair them"),
        ("good", PKT | {"maps": MAPS}, "no loss term compares any; leave it out"),
        ("good", FIT | {"maps": {"last": "stage1"}}, "maps: the student: SmallNet has no maps named last; known: stage1"),
        ("good", FIT | {"maps": {"stage1": "stage7"}}, "maps: '.*teacher.pt': SmallNet has no maps named stage7"),
        (["good", "good"], FIT, "an ensemble has no maps of its own"),
        (["good"] * 3, FIT | {"several": "in_turn"}, "has 3 files, more than the 2 epochs"),
        (["good", "alone"], PKT | {"several": "in_turn"}, "has embeddings of 20 dimensions, and '.*alone.pt' .* of 8 dimensions"),
        ("alone", FIT, "alone.classifier.pt' cannot be read .*; soft labels need the classifier"),
        ("other", FIT, "other.classifier.pt' is not of the training that the weights beside it come from"),
        ("strange", FIT, "strange.classifier.pt' tells other people apart"),
        ("two", FIT, r"two.classifier.pt' has 2 classifiers \(softmax, arcface\); soft labels need exactly one"),
    ],
)
def test_what_cannot_be_is_refused_before_training(people, tmp_path, files, teachers, changes, message):
    """By the check, ahead of all work, and by the recipe itself."""
    paths = [files[name] for name in teachers] if isinstance(teachers, list) else files[teachers]
    options = {"teacher": paths} | {name: changes[name] for name in ("maps", "several") if name in changes}
    others = {name: value for name, value in changes.items() if name not in options}
    settings = config(people, tmp_path, train__recipe={"name": "distill", **options}, **others)
    faces, photographs = training_data(config(people, tmp_path))
    with pytest.raises(InputError, match=message) as checked:
        check_settings(settings, faces, "train")
    with pytest.raises(InputError) as made:
        Distill(settings, faces, photographs, **options)
    assert str(made.value) == str(checked.value) and "\n" not in str(made.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train__keep_every": 3}, "train.keep_every is 3 and train.epochs is 2, so that no epoch would be kept"),
        ({"train__recipe": {"name": "distill", "teacher": 3}}, "option teacher is 3, which is wrong"),
        ({"train__recipe": "distill"}, "needs the option teacher"),
        ({"train__terms": ["softmax", "template"]}, "loss term 'template' needs a teacher; train.recipe should be distill"),
    ],
)
def test_settings_of_other_kinds_are_refused(people, tmp_path, changes, message):
    settings = config(people, tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        check_settings(settings, training_data(settings)[0], "train")
