"""Whatever is wrong with the input: one sentence on stderr, exit code 2, no traceback, nothing half-written."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import evaluate
import run as solution
import train
from common.cli import read_arguments
from common.config import read_config
from common.errors import InputError, run_script
from datasets.manifest import Pairs
from datasets.readers.folder import Folder
from datasets.readers.opening import open_reader
from losses.triplet import Triplet
from models.archive import FORMAT, save_tensors
from models.weights import load_weights
from tests.started import start
from tests.tiny import draw_people, tiny_settings
from training.engine import total
from verification.validation import Validation


@pytest.fixture
def people(tmp_path) -> Path:
    return draw_people(tmp_path / "people", people=9, photographs=3)


def settings(people: Path, tmp_path: Path, **overrides):
    arguments = read_arguments("test", {}, tiny_settings(people, tmp_path / "results", train__epochs=1, **overrides))
    return read_config([], arguments.overrides)


def leftovers(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "results").rglob("*") if path.is_file()]


def test_scripts_print_one_sentence_and_exit_with_2(tmp_path):
    for script, options in {
        "train.py": ["--data.reader=folder", "--data.root=/nowhere"],
        "train_pretext.py": ["--data.reader=cfp", "--data.root=/nowhere"],
        "evaluate.py": ["--model_weight=/nowhere/w.pt"],
        "run.py": ["--config=absent.yaml"],
        "leaderboard.py": ["absent.yaml"],
    }.items():
        code, said = start(script, [*options, f"--results={tmp_path}"], tmp_path / "said").ended()
        assert code == 2, said
        assert "Traceback" not in said and said.strip().startswith(f"{script}: ")
        assert len(said.strip().splitlines()) == 1


def test_run_script_turns_input_errors_into_exit_code_2(capsys):
    def story():
        raise InputError("the sentence")

    with pytest.raises(SystemExit) as stop:
        run_script(story)
    assert stop.value.code == 2 and capsys.readouterr().err.strip().endswith(": the sentence")


def test_every_broken_photograph_is_counted(people, tmp_path):
    photographs = sorted(people.rglob("*.png"))
    for photograph in photographs:
        photograph.write_bytes(photograph.read_bytes()[:60])
    with pytest.raises(InputError, match=r"15 of 15 photographs .*cannot be read whole: 사람.* and 10 more"):
        solution.run(settings(people, tmp_path))
    assert not leftovers(tmp_path)


def test_a_batch_fits_itself_to_few_people_and_says_so(people, tmp_path, capsys):
    train.train(settings(people, tmp_path, train__batch_size=50))
    assert "5 people train, fewer than train.batch_size = 50; a batch has 30 images of each" in capsys.readouterr().out


def test_identity_with_one_photograph(people, tmp_path):
    for photograph in sorted(people.rglob("*.png"))[1:3]:
        photograph.unlink()
    with pytest.raises(InputError, match="1 of 9 people have only one photograph.*사람00"):
        train.train(settings(people, tmp_path))


def test_embedder_over_the_limit_is_refused_before_training(people, tmp_path):
    with pytest.raises(InputError, match="more than model.max_parameters = 1,000"):
        train.train(settings(people, tmp_path, model__max_parameters=1000))
    assert not leftovers(tmp_path)


def test_reader_options_are_never_ignored(people, tmp_path):
    with pytest.raises(InputError, match="reader 'folder' has no option fold; it takes: validate_share, test_share"):
        train.train(settings(people, tmp_path, data__reader__fold=2))
    with pytest.raises(InputError, match="needs the data set's folder: pass --data.root DIR"):
        train.train(settings("", tmp_path))


def test_loss_that_is_not_finite_names_its_term(people, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="epoch 1, step 3: term center = nan; lower --lr"):
        total({"softmax": torch.tensor(1.0), "center": torch.tensor(float("nan"))}, where="epoch 1, step 3")
    monkeypatch.setattr(Triplet, "forward", lambda self, embeddings, labels: embeddings.sum() * float("inf"))
    with pytest.raises(InputError, match="not finite in epoch 1, step 1: term triplet"):
        train.train(settings(people, tmp_path))
    assert not leftovers(tmp_path)


def test_nothing_to_train_is_said(people, tmp_path):
    arguments = read_arguments("test", {}, [*tiny_settings(people, tmp_path), "--train.epochs=0"])
    with pytest.raises(InputError, match="tiny: epochs is 0"):
        train.train(read_config([], arguments.overrides))


def test_validation_pairs_of_one_kind_are_refused_before_training(tmp_path):
    pairs = Pairs.of(["a"], ["b"], [True], tmp_path)
    with pytest.raises(InputError, match="1 validation pairs all have the same answer"):
        Validation(pairs, [], read_config([]))


def test_pretrained_weight_of_another_architecture(people, tmp_path):
    weights = train.train(settings(people, tmp_path))
    with pytest.raises(InputError, match="another architecture"):
        train.train(settings(people, tmp_path, name="other", model__backbone="efficientnet_b0", train__pretrained_weight=weights))
    with pytest.raises(InputError, match="cannot be read"):
        train.train(settings(people, tmp_path, name="other", train__pretrained_weight=tmp_path / "absent.pt"))


def evaluation(weights: Path, *options: str):
    arguments = read_arguments("test", evaluate.SHORT, ["--model_weight", str(weights), *options])
    return evaluate.evaluate(evaluate.evaluation_config(arguments.configs, arguments.overrides))


def test_faulty_pair_lists(people, tmp_path):
    weights = train.train(settings(people, tmp_path))
    before = sorted(leftovers(tmp_path))
    photographs = [path.relative_to(people).as_posix() for path in sorted(people.rglob("*.png"))]
    (tmp_path / "outside.png").write_bytes((people / photographs[0]).read_bytes())
    table = tmp_path / "pairs.csv"
    for rows, message in {
        "image1,image2\n../outside.png,x.png\n": "1 file names lead out of the data root",
        f"image1,image2\n{photographs[0]},absent.png\n": "1 of 2 photographs are missing",
        f"image1\n{photographs[0]}\n": "lacks the column image2",
        f"image1,image2,label\n{photographs[0]},{photographs[1]},yes\n": "label is 'yes'; it should be 0, 1 or empty",
        "": "not a readable CSV",
    }.items():
        table.write_text(rows)
        with pytest.raises(InputError, match=message):
            evaluation(weights, "--pairs", str(table), "--data_root", str(people), "--results", str(tmp_path / "results"))
    with pytest.raises(InputError, match="pairs.csv"):
        evaluation(weights, "--pairs", str(tmp_path / "no" / "pairs.csv"), "--results", str(tmp_path / "results"))
    assert sorted(leftovers(tmp_path)) == before


def test_evaluation_says_what_weights_it_needs(tmp_path):
    with pytest.raises(InputError, match="pass --model_weight"):
        evaluate.evaluation_config([], {})


def test_a_pretext_is_not_an_embedder(people, tmp_path):
    weights = solution.train_pretext(settings(people, tmp_path))
    with pytest.raises(InputError, match="holds a 'pretext' model; expected embedder"):
        evaluation(weights, "--results", str(tmp_path / "results"))


def test_mixed_kinds_of_images_are_one_set(people, tmp_path):
    """Grey, RGBA, 16-bit, odd-sized and JPEG photographs beside each other train and evaluate."""
    paths = sorted(people.rglob("*.png"))
    Image.open(paths[0]).convert("L").save(paths[0])
    Image.open(paths[1]).convert("RGBA").resize((31, 57)).save(paths[1])
    Image.open(paths[2]).convert("L").convert("I;16").save(paths[2])
    Image.open(paths[3]).convert("RGB").save(paths[3].with_suffix(".jpg"))
    paths[3].unlink()
    assert solution.run(settings(people, tmp_path, pretext__epochs=0)).exists()


def test_another_split_of_the_training_data_is_no_test(people, tmp_path):
    weights = train.train(settings(people, tmp_path))
    with pytest.raises(InputError, match="trained with data.reader.split_seed = None, and now data.reader.split_seed = 9"):
        evaluation(weights, "--data.reader.split_seed=9", "--results", str(tmp_path / "other"))
    with pytest.raises(InputError, match="trained with data.reader.split_seed = None"):
        train.train(settings(people, tmp_path, name="other", data__reader__split_seed=9, train__pretrained_weight=weights))
    elsewhere = draw_people(tmp_path / "elsewhere", people=9, photographs=3)
    options = ["--data.root", str(elsewhere), "--data.reader.split_seed=9", "--results", str(tmp_path / "other")]
    assert evaluation(weights, *options).exists()  # other data may be split as one likes


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(train__terms__foo__weight=3), "unknown loss term 'foo'"),
        (dict(train__terms__triplet__margin="abc"), "option margin is 'abc'"),
        (dict(train__schedule="{name: multistep, milestones: 3}"), "option milestones is 3"),
        (dict(pretext__optimizer="{name: adan}"), "unknown optimizer 'adan'"),
        (dict(model__max_parameters=100), "more than model.max_parameters = 100"),
        (dict(model__embedding_size=10**11), "less than or equal to 8192"),
        (
            dict(train__recipe__image_sizes="[16, 32]"),
            r"is \[16, 32\]; the sides should grow, .* up to model.image_size = 24",
        ),
        (dict(train__recipe__image_sizes="[20, 16, 24]"), "the sides should grow"),
        (
            dict(train__recipe__image_sizes="[16, 24]", model__backbone="mobilefacenet"),
            "mobilefacenet reads only images of model.image_size",
        ),
        (dict(pretext__augment__crop__side=1), "'crop' .* side is 1; it should be at least 16 and at most 24"),
        (dict(train__augment__crop__side=16), "train.augment crops images to 16 pixels"),
        (dict(train__augment__affine__rotation="NaN"), "setting 'train.augment.affine.rotation' is nan, .*finite"),
        (dict(evaluate__pairs="absent.csv"), "absent.csv"),
        (dict(evaluate__data_root="x"), "needs --pairs"),
    ],
)
def test_a_wrong_setting_of_any_stage_is_told_before_the_first(people, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        solution.run(settings(people, tmp_path, **wrong))
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(train__recipe="pretext"), "unknown training recipe 'pretext'; known: distill, metric"),
        (
            dict(train__recipe="{name: metric, balance: angle}"),
            "train.recipe.balance is 'angle', which the photographs do not have; known here: none",
        ),
        (dict(train__augment__crop__side=20), "train.augment crops images to 20 pixels, but the model that ships sees whole"),
    ],
)
def test_settings_that_do_not_fit_the_stage(people, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        solution.run(settings(people, tmp_path, **wrong))


def test_held_out_faces_without_the_attribute_do_not_stop_the_pretext(people, tmp_path):
    """Then nothing validates, and the last epoch's weights are kept."""
    table = ["file_name,angle"]
    trained = open_reader(settings(people, tmp_path).data).faces("train")
    table += [f"{name},{'left' if index % 2 else 'right'}" for index, name in enumerate(trained.file_names)]
    (people / "attributes.csv").write_text("\n".join(table), encoding="utf-8")
    assert solution.train_pretext(settings(people, tmp_path)).exists()
    row = json.loads((tmp_path / "results/train/logs/tiny-pretext.jsonl").read_text().splitlines()[-1])
    assert row["validation"] == {"score": None} and "angle_accuracy" in row


@pytest.mark.parametrize("column", ["values", "keys", "items", "to", "train", "eval", "cpu", "forward", "type", "half"])
def test_an_attribute_may_be_named_like_anything_of_the_program(people, tmp_path, column):
    names = open_reader(settings(people, tmp_path).data).faces("train").file_names
    rows = [f"file_name,{column}", *(f"{name},{'left' if index % 2 else 'right'}" for index, name in enumerate(names))]
    (people / "attributes.csv").write_text("\n".join(rows), encoding="utf-8")
    assert solution.train_pretext(settings(people, tmp_path)).exists()


@pytest.mark.parametrize("column", ["rotation", "tensor.name", "image", "epoch", "face id"])
def test_attribute_names_that_cannot_be(people, column):
    (people / "attributes.csv").write_text(f"file_name,{column}\n사람00/0.png,x\n", encoding="utf-8")
    with pytest.raises(InputError, match="attributes.csv' has a column"):
        Folder(str(people))


@pytest.mark.parametrize(
    "about",
    [
        [],
        {"config": []},
        {"config": None},
        {"validation": [1]},
        {"evaluate": [1]},
        {"evaluate": {"flip": "perhaps"}},
        {"config": {"data": 3}},
        {"config": {"model": {"backbone": "small", "embedding_size": 10**11}}},
        {"config": {"model": {"layers": 3}}},
        {"validation": {"thresholds": {"plain": "x"}}},
        {"validation": {"thresholds": {"plain": float("nan")}}},
        {"validation": {"thresholds": [0.5]}},
    ],
)
def test_a_strangers_weight_file_may_say_anything(people, tmp_path, about):
    weights = train.train(settings(people, tmp_path))
    content = torch.load(weights, weights_only=True)
    if isinstance(about, dict):
        whole = content["about"]
        content["about"] = whole | about
        if isinstance(about.get("config"), dict):
            content["about"]["config"] = whole["config"] | about["config"]
    else:
        content["about"] = about
    save_tensors(tmp_path / "stranger.pt", content)
    with pytest.raises(InputError, match=r"\w"):
        evaluation(tmp_path / "stranger.pt", "--results", str(tmp_path / "other"))
    assert not (tmp_path / "other/test/stranger_preds.csv").exists()


@pytest.mark.parametrize("state", [{3: torch.ones(1)}, {"a": torch.ones(1).expand(10**10)}, {"a": torch.ones(1) + 1j}])
def test_a_strangers_state_may_hold_anything(tmp_path, state):
    save_tensors(tmp_path / "w.pt", {"format": FORMAT, "kind": "embedder", "about": {}, "state": state})
    with pytest.raises(InputError, match="not a table of dense tensors"):
        load_weights(tmp_path / "w.pt")
