"""Training for 8 bits: rounding and its gradients by oracles, the plan that the exporter gives, the file against the network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import export
import train
from common.cli import DEFAULT_CONFIG, read_arguments
from common.config import Config, ModelConfig, make_config, read_config
from common.errors import InputError
from datasets.manifest import Manifest
from datasets.photographs.photographs import Photographs
from datasets.readers.folder import Folder
from models.embedder import Embedder, build_embedder
from models.fake_quantised import FakeQuantised, Layer, Plan, calibrate, make_ranges
from models.layers.fake_quantise import LearnedRange, Rounding, RunningRange, affine, follow, quantised_weight
from models.model_file import build_shipped, read_embedder
from models.weights import load_weights, save_weights
from recipes.quantise import Quantise, held_out_positions
from tests.started import run_two
from tests.tiny import draw_people, light_model, tiny_settings
from training.run import Run
from verification import curves
from verification.curves import read_course
from verification.evaluation import evaluation_config

onnx = pytest.importorskip("onnx", reason="NO ONNX: pip install -r requirements-serve.txt")
pytest.importorskip("onnxruntime", reason="NO ONNX: pip install -r requirements-serve.txt")

from models.serving.quantise import int8_plan, quantise_trained  # noqa: E402

# rounding


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (6, 1, 5, 5), (4, 7)])
def test_weights_are_rounded_channel_by_channel(shape):
    weight = random(*shape) * torch.tensor([10.0 ** (channel - 3) for channel in range(shape[0])]).view(
        -1, *[1] * (len(shape) - 1)
    )
    weight[1] = 0
    rounded = quantised_weight(weight)
    for channel, values in enumerate(weight.double().numpy()):
        scale = np.abs(values).max() / 127
        expected = np.round(values / scale) * scale if scale else values
        assert np.allclose(rounded[channel], expected, rtol=1e-5, atol=1e-3 * scale)
        assert len(np.unique(rounded[channel])) > 1 or not scale


def test_the_gradient_of_weights_goes_straight_through():
    weight, factor = random(4, 3, 3, 3).requires_grad_(), random(4, 3, 3, 3, seed=1)
    (quantised_weight(weight) * factor).sum().backward()
    assert torch.equal(weight.grad, factor)


def test_values_are_rounded_as_numpy_does():
    values = random(3, 4, 5) * 4
    scale, zero_point = affine(torch.tensor(-2.0), torch.tensor(5.0))
    assert (zero_point.item(), scale.item()) == (73, pytest.approx(7 / 255))
    integers = np.clip(np.round(values.double().numpy() / scale.item()) + 73, 0, 255)
    assert {0, 255} < set(np.unique(integers))
    assert np.allclose(Rounding.apply(values, scale, zero_point), (integers - 73) * scale.item(), atol=1e-5)


@hypothesis_settings(max_examples=100, deadline=None)
@given(low=st.floats(-1e4, 1e4, width=32), high=st.floats(-1e4, 1e4, width=32))
def test_every_range_holds_zero_exactly(low, high):
    scale, zero_point = affine(torch.tensor(min(low, high)), torch.tensor(max(low, high)))
    assert 0 <= zero_point <= 255 and scale > 0
    assert Rounding.apply(torch.zeros(1, 2), scale, zero_point).tolist() == [[0.0, 0.0]]


def test_the_gradient_is_let_through_within_the_range_alone():
    values = torch.tensor([[-3.0, -2.1, -1.9, 0.0, 0.013, 4.9, 5.1, 80.0]]).requires_grad_()
    scale, zero_point = affine(torch.tensor(-2.0), torch.tensor(5.0))
    factor = torch.arange(1.0, 9.0)
    (Rounding.apply(values, scale, zero_point) * factor).sum().backward()
    assert values.grad.tolist() == [[0, 0, 3, 4, 5, 6, 0, 0]]


@pytest.mark.parametrize("zero_point", [0, 60])
def test_the_scale_learns_by_the_formula_of_lsq(zero_point):
    values, factor, scale = random(4, 3, 5, seed=2), random(4, 3, 5, seed=3), 0.006
    chosen = torch.tensor(scale, requires_grad=True)
    (Rounding.apply(values, chosen, torch.tensor(zero_point, dtype=torch.int32)) * factor).sum().backward()
    expected, beyond = 0.0, 0
    for value, weight in zip(values.flatten().tolist(), factor.flatten().tolist()):
        v = value / scale
        slope = round(v) - v
        if v < -zero_point or v > 255 - zero_point:
            slope, beyond = (-zero_point if v < 0 else 255 - zero_point), beyond + 1
        expected += weight * slope
    assert 5 < beyond < 50
    assert chosen.grad.item() == pytest.approx(expected / (15 * 255) ** 0.5, rel=1e-4)


def test_a_learned_range_learns_its_logarithm_and_knows_a_ceiling():
    one, six = LearnedRange(), LearnedRange(6.0)
    for each in (one, six):
        each.set(torch.tensor(-1.0 if each is one else 0.0), torch.tensor(9.0))
    assert one.bounds() == (pytest.approx(10 / 255), 26) and six.bounds() == (pytest.approx(6 / 255), 0)
    one(random(2, 3) * 9).sum().backward()
    scale = torch.tensor(one.bounds().scale, requires_grad=True)
    Rounding.apply(random(2, 3) * 9, scale, one.zero_point).sum().backward()
    assert one.log_scale.grad.item() == pytest.approx(scale.grad.item() * scale.item(), rel=1e-4)


def test_running_ranges_follow_the_extremes_of_batches():
    one, other = RunningRange(), RunningRange()
    low, high = -1.0, 1.0
    for each in (one, other):
        each.set(torch.tensor(low), torch.tensor(high))
    for step in range(3):
        values = random(4, 5, seed=step) * 3
        one(values), other(values - 1)
        follow([one, other])
        low, high = 0.99 * low + 0.01 * values.min().item(), 0.99 * high + 0.01 * values.max().item()
    assert one.low.item() == pytest.approx(low) and one.high.item() == pytest.approx(high)
    assert other.low.item() == pytest.approx(low - (1 - 0.99**3), rel=1e-4)
    one.eval()(values * 99)
    follow([one])
    assert one.high < 2  # what is only evaluated moves nothing


# the network


SIDE = 32
SMALL = ModelConfig(backbone="small", embedding_size=8, image_size=SIDE)


def faces(count: int, side: int, seed: int = 1) -> torch.Tensor:
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def settled(config: ModelConfig) -> Embedder:
    torch.manual_seed(2)
    return settle(build_embedder(config), config.image_size)


def settle(embedder: Embedder, side: int) -> Embedder:
    """An embedder whose BatchNorms have seen images, so that a wrong folding shows. What its residual blocks add is small, as
    it becomes in training: where it is not, each layer doubles what rounding differs by, and no two computations agree."""
    torch.manual_seed(3)
    for module in embedder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    for name, module in embedder.named_modules():
        if name.endswith("_bn2"):
            nn.init.uniform_(module.weight, 0.1, 0.3)
    with torch.no_grad():
        embedder.train()(faces(16, side))
    return embedder.eval()


def rounding(embedder: Embedder, side: int, kind: str = "running") -> FakeQuantised:
    plan = int8_plan(embedder, side)
    network = FakeQuantised(embedder, plan, make_ranges(embedder, plan, kind)).eval()
    calibrate(network, faces(16, side).split(4))
    return network


def in_file(network: FakeQuantised, embedder: Embedder, config: ModelConfig) -> nn.Module:
    bounds = {name: each.bounds() for name, each in network.ranges.items()}
    graph = quantise_trained(embedder, config.image_size, bounds)
    return build_shipped({"graph": graph, "about": {"parameters": 0}}, config, "the graph").embedder


def cosines(embeddings: torch.Tensor) -> torch.Tensor:
    unit = nn.functional.normalize(embeddings)
    return unit @ unit.T


@pytest.mark.parametrize("backbone", ["small", "mobilenet_v2"])
def test_without_rounding_it_is_the_network(backbone):
    config = light_model(backbone)
    embedder = settled(config)
    network = FakeQuantised(embedder, Plan((), frozenset()), nn.ModuleDict())
    images = faces(3, SIDE)
    with torch.no_grad():
        expected = embedder(images)
    assert torch.allclose(network(images), expected, atol=1e-4 * expected.abs().max())


def test_the_plan_is_what_the_exporter_does():
    plan = int8_plan(settled(SMALL), SIDE)
    layers = [f"backbone_network_{number}" for number in (0, 3, 6, 9)]
    values = [name for layer in (2, 5, 8, 11) for name in (f"backbone_network_{layer}_gate", f"backbone_network_{layer}_product")]
    assert plan.layers == {*layers, "head_linear"}
    assert set(plan.values) == {"images", *layers, *values, "mean"}  # the embedding stays float


def test_a_layer_in_integers_is_the_layer_in_floats():
    torch.manual_seed(0)
    source = RunningRange().eval()
    source.set(torch.tensor(-1.0), torch.tensor(2.0))
    norm = nn.BatchNorm2d(6).eval()
    for values in (norm.weight, norm.running_var):
        nn.init.uniform_(values, 0.5, 2.0)
    for values in (norm.bias, norm.running_mean):
        nn.init.normal_(values)
    for convolution in (nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 3, groups=2, bias=False)):
        layer, images = Layer(convolution, norm, True, source), source(random(2, 4, 5, 5))
        apart = norm(convolution(images))
        with torch.no_grad():
            exact = layer(images)
        assert torch.allclose(layer(images), exact, atol=1e-4) and not torch.equal(exact, apart)
        assert (exact - apart).abs().max() < 0.03 * apart.abs().max()
    layer(images).sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in (convolution.weight, norm.weight, norm.bias))


def test_calibration_takes_the_mean_of_the_extremes_of_batches():
    network = rounding(settled(SMALL), SIDE)
    batches = faces(16, SIDE).split(4)
    seen = network.ranges["images"]
    assert seen.low.item() == pytest.approx(np.mean([batch.min() for batch in batches]))
    assert seen.high.item() == pytest.approx(np.mean([batch.max() for batch in batches]))
    assert all(each.rounds and not each.training for each in network.ranges.values())


@pytest.mark.parametrize("kind", ["running", "learned"])
def test_the_file_of_a_small_network_computes_the_very_same(kind):
    embedder = settled(SMALL)
    network = rounding(embedder, SIDE, kind)
    images = faces(12, SIDE, seed=2)
    with torch.no_grad():
        rounded, plain = network(images), embedder(images)
    assert torch.allclose(in_file(network, embedder, SMALL)(images), rounded, atol=1e-5)
    assert (rounded - plain).abs().max() > 1e-3


def test_the_file_of_efficientnet_scores_as_the_network():
    """With one block of each stage and one with a residual. The first block is computed in float, in another order of sums, so
    that now and then a value falls to the other side of a half and changes what comes after: in a network that has learned
    nothing, by up to two hundredths. Images to which that does not happen have the very embeddings of the file."""
    config = light_model("efficientnet_b0", image_size=48)
    torch.manual_seed(2)
    embedder = build_embedder(config)
    blocks = embedder.backbone.network._blocks
    embedder.backbone.network._blocks = nn.ModuleList(blocks[place] for place in (0, 1, 2, 3, 5, 8, 11, 15))
    network = rounding(settle(embedder, 48), 48)
    assert len(network.ranges) == 109 and "backbone_network__blocks_0__expand_conv" not in network.ranges
    images = faces(12, 48, seed=2)
    with torch.no_grad():
        rounded, plain = network(images), embedder(images)
    found = in_file(network, embedder, config)(images)
    same = (found - rounded).abs().amax(dim=1) < 1e-5 * rounded.abs().max()
    assert same.sum() >= 4
    found, rounded, plain = cosines(found), cosines(rounded), cosines(plain)
    assert (found - rounded).abs().max() < 2e-2 and rounded.std() > 0.05
    assert (found - rounded).abs().mean() < (plain - rounded).abs().mean() / 4
    assert ((found > rounded.median()) != (rounded > rounded.median())).float().mean() < 0.02


@pytest.mark.parametrize("backbone, message", [("repvgg", "branches"), ("head", "maps_norm")])
def test_what_the_file_computes_in_another_way_is_refused(backbone, message):
    embedder = settled(light_model("repvgg") if backbone == "repvgg" else light_model("small", head="flatten"))
    with pytest.raises(InputError, match=f"cannot be trained for 8 bits: .*{message}"):
        rounding(embedder, SIDE)


def test_ranges_of_another_network_are_refused():
    with pytest.raises(InputError, match="belong to another network"):
        quantise_trained(settled(SMALL), SIDE, {"images": (0.1, 0)})


# the recipe


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"))


def options_of(people: Path, results: Path, *more: str, **recipe: object) -> list[str]:
    settings = tiny_settings(people, results, threads=1, train__epochs=4, train__validate_every=1)
    recipe = {"name": "quantise", "float_epochs": 2, "calibration": 2, "lr_scale": 0.5} | recipe
    return [each for each in settings if not each.startswith("--train.recipe.")] + [f"--train.recipe={json.dumps(recipe)}", *more]


def carry_out(people: Path, results: Path, *more: str, **recipe: object) -> Path:
    return train.train(read_config([], read_arguments("test", {}, options_of(people, results, *more, **recipe)).overrides))


def rows(results: Path) -> list[dict]:
    return [json.loads(row) for row in (results / "train/logs/tiny.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory) -> dict[str, Path]:
    """Results of a run with each kind of ranges."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("running", "learned")}
    for kind, folder in folders.items():
        carry_out(people, folder, ranges=kind, held_out=0.2)
    return folders


@pytest.mark.parametrize("kind", ["running", "learned"])
def test_the_switch_is_in_the_log(finished, kind):
    log = rows(finished[kind])
    assert [row["quantised"] for row in log] == [0, 0, 1, 1]
    assert [row["lr"] for row in log] == [5e-4, 5e-4, 2.5e-4, 2.5e-4]
    assert [row["validation"]["score"] is None for row in log] == [True, True, False, False]
    for row in log:
        assert 0 <= row["accuracy"] <= 1 and 0 <= row["validation"]["held_out"]["accuracy"] <= 1
    assert log[3]["validation"]["score"] == log[3]["validation"]["int8"]["auc"]


@pytest.mark.parametrize("kind, stop_after", [("learned", 2), ("running", 3)])
def test_a_run_that_dies_before_or_after_the_switch_resumes_to_the_same_bytes(
    finished, people, tmp_path, monkeypatch, kind, stop_after
):
    save = Run.save_snapshot

    def save_then_die(self, recipe, optimizer, done):
        save(self, recipe, optimizer, done)
        if done.epoch == stop_after:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(Run, "save_snapshot", save_then_die)
        carry_out(people, tmp_path, ranges=kind, held_out=0.2)
    weights = carry_out(people, tmp_path, "--resume", ranges=kind, held_out=0.2)
    for name in ("tiny.pt", "tiny.classifier.pt"):
        assert weights.with_name(name).read_bytes() == (finished[kind] / "train/weights" / name).read_bytes()


def test_statistics_stand_still_and_weights_and_scales_learn(people):
    recipe = made(people, {"float_epochs": 1, "ranges": "learned"}, epochs=2)
    recipe.on_epoch_start(1)
    before = {name: tensor.clone() for name, tensor in recipe.state_dict().items()}
    optimizer = torch.optim.Adam(recipe.parameter_groups(), lr=1e-3)
    for batch in recipe.loader(1):
        recipe.on_step_start()
        optimizer.zero_grad()
        sum(recipe(batch).terms.values()).backward()
        optimizer.step()
        recipe.on_step_end()
    moved = {name for name, tensor in recipe.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not [name for name in moved if name.startswith("network.") and "running" in name]
    assert {name for name in before if name.startswith("network.") and name.endswith(("weight", "bias"))} <= moved
    scales = {name for name in before if name.endswith("log_scale")}
    assert len(scales & moved) == len(scales) == 14


def test_the_file_has_the_ranges_of_training_and_export_takes_them(finished, monkeypatch, capsys):
    weights = finished["learned"] / "train/weights/tiny.pt"
    about = load_weights(weights)["about"]
    ranges = about["int8_ranges"]
    assert len(ranges) == 14 and about["validation"]["int8"]["thresholds"]
    exported = carry_out_export(weights)
    assert "ranges of 14 values that training left" in capsys.readouterr().out
    content = onnx.load(exported)
    initial = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in content.graph.initializer}
    written = {
        (initial[node.input[1]], initial[node.input[2]]) for node in content.graph.node if node.op_type == "QuantizeLinear"
    }
    assert written == {(scale, zero_point) for scale, zero_point in ranges.values()}
    shipped, small = read_embedder(weights), read_embedder(exported)
    assert small.about["int8"] == {"ranges": "trained"} and small.about["int8_ranges"] == ranges
    plan = int8_plan(shipped.embedder, 24)
    network = FakeQuantised(shipped.embedder, plan, make_ranges(shipped.embedder, plan, "running")).eval()
    for name, (scale, zero_point) in ranges.items():
        network.ranges[name].set(torch.tensor(-zero_point * scale), torch.tensor((255 - zero_point) * scale))
    images = faces(5, 24)
    with torch.no_grad():
        assert torch.allclose(small.embedder(images), network(images), atol=1e-4)


def carry_out_export(weights: Path, *options: str) -> Path:
    words = ["--model_weight", str(weights), "--threads=1", "--int8", *options]
    arguments = read_arguments("test", export.SHORT, words, export.WITHOUT)
    return export.export(evaluation_config(arguments.configs, arguments.overrides))


def test_ranges_that_are_none_are_one_sentence(finished, tmp_path, monkeypatch):
    content = load_weights(finished["running"] / "train/weights/tiny.pt")
    for wrong in (3, {"images": [0.1]}, {"images": [-1.0, 3]}, {"images": [0.1, 256]}, {"images": [float("nan"), 0]}):
        path = save_weights(tmp_path / "w.pt", "embedder", content["state"], content["about"] | {"int8_ranges": wrong})
        with pytest.raises(InputError, match="corrupt: its int8 range"):
            carry_out_export(path)
    words = ["export.py", "--model_weight", str(finished["running"] / "train/weights/tiny.pt"), "--int8", "--export.images=9"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(InputError, match="--export.images is for calibrating"):
        export.main()


def test_two_processes_find_the_ranges_of_one(people, tmp_path):
    """Rounding turns a difference in the last bit into a level, so that the weights agree to 1e-3 of the largest, or, where they
    have hardly left zero, to a twentieth of a step."""
    more = ["--train.batch_size=4", "--train.num_instances=4", "--train.epochs=2", "--model.head.dropout=0.0"]
    one, two = (options_of(people, tmp_path / name, *more, ranges="learned", float_epochs=1) for name in ("one", "two"))
    expected = load_weights(train.train(read_config([DEFAULT_CONFIG], read_arguments("test", {}, one).overrides)))
    two = [each for each in two if not each.startswith(("--pretext.", "--evaluate."))]
    ends = run_two("train.py", [*two, "--config", str(DEFAULT_CONFIG)], tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    found = load_weights(tmp_path / "two/train/weights/tiny.pt")
    for name, (scale, zero_point) in expected["about"]["int8_ranges"].items():
        other = found["about"]["int8_ranges"][name]
        assert other[0] == pytest.approx(scale, rel=1e-3) and abs(other[1] - zero_point) <= 1, name
    for name, tensor in expected["state"].items():
        limit = max(1e-3 * float(tensor.abs().max()), 0.05 * 5e-4)
        assert torch.allclose(found["state"][name].float(), tensor.float(), rtol=0, atol=limit), name


def manifest(people: Path) -> Manifest:
    return Folder(str(people)).faces("train")


def settings_of(people: Path, epochs: int = 3, **train: object) -> Config:
    stage = {"terms": ["softmax"], "batch_size": 2, "num_instances": 2, "epochs": epochs} | train
    return make_config({"model": {"backbone": "small", "image_size": 24, "embedding_size": 8}, "train": stage})


def made(people: Path, options: dict, **train: object) -> Quantise:
    given = manifest(people)
    return Quantise(settings_of(people, **train), given, Photographs(given, 24, "read"), **options)


@pytest.mark.parametrize(
    "options, stage, message",
    [
        ({"float_epochs": 3}, {}, "float_epochs is 3 of train.epochs = 3"),
        ({}, {}, "no trained weights to go on from"),
        ({"float_epochs": 1, "held_out": 0.2}, {"terms": ["triplet"]}, "train.terms has none"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_decoded(people, options, stage, message):
    with pytest.raises(InputError, match=message):
        Quantise.check(settings_of(people, **stage), manifest(people), **options)


def test_a_network_that_cannot_be_trained_so_is_told_before_anything_is_decoded(people):
    settings = make_config({"model": {"backbone": "small", "head": "flatten", "image_size": 24}, "train": {"terms": ["softmax"]}})
    with pytest.raises(InputError, match="maps_norm"):
        Quantise.check(settings, manifest(people), float_epochs=1)


def test_a_pretext_has_not_learned_enough(people, tmp_path):
    path = save_weights(tmp_path / "p.pt", "pretext", {}, {})
    with pytest.raises(InputError, match="is a pretext"):
        made(people, {}, pretrained_weight=str(path))


def test_absent_packages_are_told_before_training(people, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install -r requirements-serve.txt"):
        Quantise.check(settings_of(people), manifest(people), float_epochs=1)


def test_photographs_are_held_out_person_by_person(people):
    given = manifest(people)
    away = held_out_positions(given, 0.4, seed=0)
    _, counts = np.unique(given.labels()[away], return_counts=True)
    assert counts.tolist() == [2] * len(given.identities)
    assert len(held_out_positions(given, 0.19, seed=0)) == 0
    recipe = made(people, {"float_epochs": 1, "held_out": 0.4})
    assert not set(recipe.held_out.file_names) & set(recipe.photographs.file_names)
    assert len(recipe.photographs) + len(away) == len(given) and recipe.sampler.members[0].max() == 2
    assert np.array_equal(recipe.photographs[0], recipe.photographs.photographs[recipe.photographs.positions[0]])


def test_the_course_of_a_training_is_drawn(finished, tmp_path, monkeypatch):
    log = finished["running"] / "train/logs/tiny.jsonl"
    course, switch = read_course(str(log))
    assert switch == 2 and set(map(len, course.values())) == {4}
    assert course["accuracy, held out"].tolist() == [
        row["validation"]["held_out"]["accuracy"] for row in rows(finished["running"])
    ]
    monkeypatch.setattr("sys.argv", ["curves", str(log), "--course", "--out", str(tmp_path / "course.png")])
    curves.main()
    with Image.open(tmp_path / "course.png") as picture:
        assert picture.size[0] > 500
    (tmp_path / "x.jsonl").write_text('{"softmax": 1.0, "quantised": 1.0}')
    with pytest.raises(InputError, match="the recipe quantise that holds photographs out"):
        read_course(str(tmp_path / "x.jsonl"))
