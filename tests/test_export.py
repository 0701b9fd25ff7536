"""Exported embedders: the same decisions as the weights they come from, in float and int8, from files nobody need trust."""

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

import benchmark
import evaluate
import export as export_module
import train
from common.cli import read_arguments
from common.config import ModelConfig, read_config
from common.errors import InputError, run_script
from models.backbones import BACKBONES
from models.counts import parameter_count
from models.embedder import build_embedder
from models.heads import HEADS
from models.model_file import build_shipped, read_model_file
from models.network_input import network_input
from models.weights import file_digest, load_weights, save_weights
from tests.tiny import draw_people, light_model, tiny_settings
from verification.decisions import decide
from verification.evaluation import evaluation_config
from verification.quantisation import _follow

onnx = pytest.importorskip("onnx", reason="NO ONNX: pip install -r requirements-serve.txt")
pytest.importorskip("onnxruntime", reason="NO ONNX: pip install -r requirements-serve.txt")

from models.serving.graph import make_graph  # noqa: E402
from models.serving.onnx_file import INPUT, _seal, read_model, write_model  # noqa: E402
from models.serving.quantise import _first_nodes, quantise  # noqa: E402

ROOT = Path(__file__).parent.parent
SMALL = ModelConfig(backbone="small", embedding_size=8, image_size=32)


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def weights(people, tmp_path_factory) -> Path:
    """A weight file trained on `people`."""
    options = tiny_settings(people, tmp_path_factory.mktemp("results"), train__epochs=4)
    return train.train(read_config([], read_arguments("test", {}, options).overrides))


def exported(weights: Path, *options: str) -> Path:
    arguments = read_arguments(
        "test", export_module.SHORT, ["--model_weight", str(weights), "--threads=2", *options], export_module.WITHOUT
    )
    return export_module.export(evaluation_config(arguments.configs, arguments.overrides))


def evaluated(model: Path, results: Path, *options: str) -> tuple[bytes, pd.Series, dict]:
    """Decisions, scores and figures of an evaluation."""
    words = ["--model_weight", str(model), "--results", str(results), "--name=x", "--threads=2", *options]
    arguments = read_arguments("test", evaluate.SHORT, words, evaluate.WITHOUT)
    submission = evaluate.evaluate(evaluation_config(arguments.configs, arguments.overrides))
    scores = pd.read_csv(results / "test/x_scores.csv")["score"]
    figures = json.loads((results / "test/x_metrics.json").read_text())
    return submission.read_bytes(), scores, figures


@pytest.fixture(scope="module")
def float_model(weights) -> Path:
    return exported(weights)


@pytest.fixture(scope="module")
def int8_model(weights) -> Path:
    return exported(weights, "--int8")


# the graph


def faces(count: int, side: int) -> torch.Tensor:
    """Smooth random images, float32 [count, 3, side, side] in [-1, 1]."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def grown_up(config: ModelConfig) -> nn.Module:
    """An embedder whose BatchNorms have seen images, so that these come out different and a wrong folding would show."""
    torch.manual_seed(3)
    embedder = build_embedder(config)
    for module in embedder.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        embedder.train()(faces(16, config.image_size))
    return embedder.eval()


def shipped(graph: bytes, config: ModelConfig) -> nn.Module:
    return build_shipped({"graph": graph, "about": {"parameters": 0}}, config, "the graph").embedder


SIDE = 40
SIDES = {"efficientnet_b0": 75, "inception_resnet_v1": 107}
"""75: the paddings of EfficientNet are not symmetric; 107: more than a place remains of the map."""
UNFOLDED = {
    "attention": {"BatchNormalization"},  # those ahead of an activation
    "pocketnet": {"BatchNormalization"},  # those behind a pooling or two convolutions side by side
    "resnet_ir": {"BatchNormalization"},  # those ahead of a padding convolution, where none can take them in
}
CASES = [(backbone, "published") for backbone in sorted(BACKBONES)]  # an export takes seconds, so every head only once or twice
CASES += [("small", "flatten"), ("small", "depthwise"), ("efficientnet_b0", "pool with norm")]


@functools.cache
def prepared(backbone: str, head: str) -> tuple[ModelConfig, nn.Module, bytes]:
    size = {"image_size": SIDES.get(backbone, SIDE), "max_parameters": 30_000_000}
    config = light_model(backbone, head={"name": "pool", "norm": True} if head == "pool with norm" else head, **size)
    embedder = grown_up(config)
    return config, embedder, make_graph(embedder, config.image_size)


def test_every_head_is_exported():
    published = {BACKBONES[backbone].head["name"] for backbone, head in CASES if head == "published"}
    assert published | {head for _, head in CASES} >= set(HEADS)


@pytest.mark.parametrize(("backbone", "head"), CASES)
def test_the_graph_computes_the_embedder_for_any_batch(backbone, head):
    config, embedder, graph = prepared(backbone, head)
    side = config.image_size
    if head != "published":
        assert isinstance(embedder.head.norm, nn.BatchNorm1d)  # it was left as it was
    operators = {node.op_type for node in onnx.ModelProto.FromString(graph).graph.node}
    assert operators & {"BatchNormalization", "Pad"} == UNFOLDED.get(backbone, set())
    torch.set_num_threads(2)
    runtime = shipped(graph, config)
    images = faces(9, side)
    with torch.no_grad():
        expected = embedder(images)
    for batch in (1, 2, 7, 9):  # the last is dealt out among threads
        embeddings = runtime(images[:batch].contiguous(memory_format=torch.channels_last))
        assert embeddings.dtype == torch.float32 and embeddings.shape == (batch, 512)
        assert torch.allclose(embeddings, expected[:batch], atol=1e-4 * expected.abs().max().item())
    assert expected.std(0).min() > 0.01


def test_blocks_of_repvgg_are_exported_as_one_convolution_and_train_on():
    config, embedder, graph = prepared("repvgg", "published")
    operators = [node.op_type for node in onnx.ModelProto.FromString(graph).graph.node]
    blocks = len(embedder.backbone.network)
    assert operators.count("Conv") == operators.count("Relu") == blocks == 22 and "Add" not in operators
    assert all(len(block.branches) >= 2 for block in embedder.backbone.network)  # and so they stay in the weight file


def test_int8_of_efficientnet_is_small_and_no_nonsense():
    """How close int8 is to float can only be told on trained weights: random ones amplify every rounding."""
    config, _, graph = prepared("efficientnet_b0", "pool with norm")
    images = faces(8, 75)
    small = quantise(graph, (batch.numpy() for batch in images.split(4)))
    assert len(small) <= 5_500_000 < len(graph) / 3
    before, after = (shipped(content, config)(images) for content in (graph, small))
    assert nn.functional.cosine_similarity(before - before.mean(0), after - before.mean(0)).mean() > 0.5


def test_the_first_block_of_efficientnet_stays_float():
    _, _, graph = prepared("efficientnet_b0", "pool with norm")
    nodes = onnx.ModelProto.FromString(graph)
    names = _first_nodes(nodes)
    assert names == [node.name for node in nodes.graph.node][: len(names)]
    assert names[-1].endswith("/_blocks.0/_project_conv/Conv")


# the file


def test_all_that_the_weights_say_is_in_the_file(weights, float_model):
    assert float_model == weights.with_suffix(".onnx")
    content, before = read_model_file(float_model), load_weights(weights)
    size = parameter_count(build_embedder(ModelConfig(backbone="small", embedding_size=16)))
    added = {"parameters": size, "input": INPUT, "source_digest": file_digest(weights)}
    assert content["about"] == before["about"] | added and content["kind"] == "embedder"
    assert content["about"]["validation"]["thresholds"] and content["about"]["config"]["data"]["reader"]["name"] == "folder"


def test_the_file_says_how_pixels_become_input():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).T.reshape(1, 16, 16, 3)
    expected = pixels.permute(0, 3, 1, 2).double() * INPUT["scale"] + INPUT["offset"]
    assert torch.allclose(network_input(pixels).double(), expected, atol=1e-6)


def test_exporting_twice_gives_the_same_bytes(weights, float_model, int8_model, tmp_path):
    assert exported(weights, "--out", str(tmp_path / "other.onnx")).read_bytes() == float_model.read_bytes()
    out = tmp_path / "new" / "int8.onnx"  # in another process, with another number of threads and another order of sets
    command = [sys.executable, "export.py", "--model_weight", str(weights), "--out", str(out), "--threads=1", "--int8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"model: {out}"
    assert out.read_bytes() == int8_model.read_bytes() and list(out.parent.iterdir()) == [out]


def test_onnxruntime_and_onnx_take_the_file_as_it_is(int8_model):
    onnx.checker.check_model(onnx.load(int8_model), full_check=True)


# evaluate.py


@pytest.mark.parametrize("options", [[], ["--evaluate.flip", "--batch_size=3"], ["--evaluate.rule=median"]])
def test_evaluate_decides_as_with_the_weights(weights, float_model, tmp_path, options):
    decisions, scores, figures = evaluated(weights, tmp_path / "pt", *options)
    again, scores_again, figures_again = evaluated(float_model, tmp_path / "onnx", *options)
    assert again == decisions
    assert np.abs(scores - scores_again).max() < 1e-4
    assert {key: figures[key] for key in ("accuracy", "parameters", "flip", "threshold_rule", "similarity", "pairs")} == {
        key: figures_again[key] for key in ("accuracy", "parameters", "flip", "threshold_rule", "similarity", "pairs")
    }


def test_any_list_of_pairs(weights, float_model, people, tmp_path):
    names = [path.relative_to(people).as_posix() for path in sorted(people.rglob("*.png"))]
    pairs = pd.DataFrame({"image1": names[:20], "image2": names[1:21], "same": [0, 1] * 10})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    options = ["--pairs", str(tmp_path / "pairs.csv"), "--data_root", str(people)]
    assert evaluated(weights, tmp_path, *options)[0] == evaluated(float_model, tmp_path, *options)[0]


def test_the_file_remembers_what_it_was_trained_on(float_model, tmp_path):
    with pytest.raises(InputError, match="tiny.onnx' was trained with data.reader.split_seed = None, and now data"):
        evaluated(float_model, tmp_path, "--data.reader.split_seed=9")
    with pytest.raises(InputError, match="an exported model such as .* runs on the CPU"):
        evaluated(float_model, tmp_path, "--device=cuda")


def test_int8_is_smaller_and_decides_alike(weights, int8_model, float_model, tmp_path):
    assert int8_model.name == "tiny-int8.onnx" and int8_model.stat().st_size < float_model.stat().st_size / 2
    decisions, scores, figures = evaluated(weights, tmp_path / "pt")
    small, small_scores, small_figures = evaluated(int8_model, tmp_path / "int8")
    assert np.corrcoef(scores, small_scores)[0, 1] > 0.99
    assert np.mean(np.frombuffer(decisions, np.uint8) != np.frombuffer(small, np.uint8)) < 0.01
    assert small_figures["parameters"] == figures["parameters"]
    about = read_model_file(int8_model)["about"]
    assert about["int8"] == {"images": 40, "seed": 0}  # there are no more
    assert about["float_validation"]["thresholds"] == load_weights(weights)["about"]["validation"]["thresholds"]
    assert small_figures["threshold"] == about["validation"]["thresholds"]["plain"] != figures["threshold"]
    assert abs(about["validation"]["accuracy"] - about["float_validation"]["accuracy"]) <= 0.05
    for kind in ("far", "probability"):  # of the scores that int8 gives
        own, others = about["validation"][kind]["plain"], about["float_validation"][kind]["plain"]
        assert own.keys() == others.keys() and own and own != others


def test_the_int8_threshold_follows_the_float_models_decisions():
    random = np.random.default_rng(0)
    before = random.normal(size=300)
    same = before + random.normal(size=300) > 0
    after = 0.5 * before + 0.2 + random.normal(0, 0.01, 300)
    threshold = _follow(before, 0.4, after, same)
    assert abs(threshold - 0.4) < 0.02  # 0.5 * 0.4 + 0.2
    assert (decide(after, threshold) == decide(before, 0.4)).mean() > 0.98
    assert np.isfinite(_follow(before, 99.0, after, same))  # nothing to follow: then by the answers


# what is refused


def test_wrong_commands_are_one_sentence(weights, float_model, tmp_path):
    pretext = save_weights(tmp_path / "p.pt", "pretext", {}, {})
    bare = save_weights(
        tmp_path / "b.pt", "embedder", load_weights(weights)["state"], {"config": {"model": {"backbone": "small"}}}
    )
    for source, options, message in [
        (weights, ["--out", str(tmp_path / "x.pt")], "should end in .onnx"),
        (weights, ["--int8", "--data.root", "/nowhere"], "nowhere"),
        (weights, ["--export.images=0"], "greater than 0"),
        (float_model, [], "not a weight file written by"),
        (pretext, [], "holds a 'pretext' model"),
        (bare, [], "another architecture"),
        (tmp_path / "absent.pt", [], "cannot be read"),
    ]:
        with pytest.raises(InputError, match=message):
            exported(source, *options)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".onnx"]


def test_scripts_end_with_one_line_and_code_2(monkeypatch, capsys, tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"PK")
    for script, main, options in [
        ("export.py", export_module.main, []),
        ("evaluate.py", evaluate.main, ["--model_weight", str(tmp_path / "w.onnx")]),
        ("benchmark.py", benchmark.main, ["--files", str(tmp_path / "w.onnx"), str(tmp_path / "w.pt")]),
    ]:
        monkeypatch.setattr(sys, "argv", [script, *options])
        with pytest.raises(SystemExit) as stop:
            run_script(main)
        message = capsys.readouterr().err.strip()
        assert stop.value.code == 2 and message.startswith(f"{script}: ") and len(message.splitlines()) == 1


def test_absent_packages_are_named(weights, float_model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for fails in (lambda: exported(weights), lambda: evaluated(float_model, tmp_path)):
        with pytest.raises(InputError, match="pip install -r requirements-serve.txt"):
            fails()


def test_weights_need_no_onnx():
    check = "import sys, run, export, verification.quantisation; sys.exit(bool({'onnx', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0


@functools.cache
def whole_file() -> bytes:
    """No fixture: hypothesis would print its bytes with a failure."""
    with tempfile.TemporaryDirectory() as folder:
        about = {"parameters": 1, "input": INPUT, "config": {"model": {"image_size": 32, "embedding_size": 8}}}
        return write_model(Path(folder) / "w.onnx", make_graph(build_embedder(SMALL), 32), about).read_bytes()


@hypothesis_settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_are_one_sentence(tmp_path_factory, data):
    whole = whole_file()
    kind = data.draw(st.sampled_from(["cut", "flip", "longer", "random"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    content = {
        "cut": whole[:place],
        "flip": whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))]) + whole[place + 1 :],
        "longer": whole + data.draw(st.binary(min_size=1, max_size=9)),
        "random": data.draw(st.binary(max_size=200)),
    }[kind]
    path = tmp_path_factory.mktemp("damaged") / "w.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="w.onnx' is corrupt or not an ONNX file written by export.py"):
        read_model(path)


def test_files_of_another_kind(weights, tmp_path):
    with pytest.raises(InputError, match="absent.onnx' cannot be read"):
        read_model_file(tmp_path / "absent.onnx")
    for content in (weights.read_bytes(), make_graph(build_embedder(SMALL), 32), b""):
        (tmp_path / "w.onnx").write_bytes(content)
        with pytest.raises(InputError, match="not an ONNX file written by export.py"):
            read_model_file(tmp_path / "w.onnx")


def outside_weights(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def outside_constant(model: onnx.ModelProto) -> None:
    value = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["more"], value=value))


def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def own_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="")


def loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["y"], body=onnx.GraphProto(name="body")))


def nonsense(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Kidnap"


def no_weights(model: onnx.ModelProto) -> None:
    del model.graph.initializer[:]


def entry(key: str, value: str | None) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        kept = [one for one in model.metadata_props if one.key != key]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        if value is not None:
            model.metadata_props.add(key=key, value=value)

    change.__name__ = f"{key}={value}"
    return change


def about(**changes: object) -> str:
    model = {"backbone": "small", "image_size": 24, "embedding_size": 16}
    return json.dumps({"config": {"model": model}, "parameters": 1, "input": INPUT} | changes)


STRANGERS = [
    (outside_weights, "keeps weights in other files"),
    (outside_constant, "keeps weights in other files"),
    (foreign_operator, "an operator of the domain 'com.example'"),
    (own_function, "brings functions"),
    (loop, "a graph inside a graph"),
    (nonsense, "onnxruntime cannot make sense of its graph"),
    (no_weights, "onnxruntime cannot make sense of its graph"),
    (entry("kind", "pretext"), "holds a 'pretext' model"),
    (entry("kind", None), "lacks format, kind or about"),
    (entry("format", "1"), "has format 1; this version reads format 2"),
    (entry("format", "one"), "lacks format, kind or about"),
    (entry("about", "[]"), "not a table of settings"),
    (entry("about", "[" * 9999), "lacks format, kind or about"),
    (entry("about", about(parameters="many")), "how many parameters"),
    (entry("about", about(input=INPUT | {"scale": 1.0})), "made for other input"),
    (entry("about", about(config={"model": {"image_size": 32, "embedding_size": 16}})), "images of 32 x 32 pixels"),
    (entry("about", about(config={"model": {"image_size": 24, "embedding_size": 8}})), "into 8 dimensions"),
    (entry("about", about(validation={"thresholds": {"plain": float("nan")}})), "not a finite number"),
]


@pytest.mark.parametrize("change, message", STRANGERS, ids=lambda value: getattr(value, "__name__", "")[:40])
def test_a_strangers_file_may_hold_anything(float_model, people, tmp_path, change, message):
    """A file with the right seal, which anyone can compute, but not written by export.py."""
    model = onnx.ModelProto.FromString(float_model.read_bytes())
    entry("sha256", None)(model)
    change(model)
    body = model.SerializeToString()
    (tmp_path / "stranger.onnx").write_bytes(body + _seal(body))
    options = ["--data.reader=folder", f"--data.root={people}", "--data.reader.pairs=40"]
    with pytest.raises(InputError, match=message):
        evaluated(tmp_path / "stranger.onnx", tmp_path, *options)
    assert not (tmp_path / "test/x_preds.csv").exists()


def test_a_description_that_is_no_json(tmp_path, weights):
    stranger = save_weights(
        tmp_path / "s.pt", "embedder", load_weights(weights)["state"], load_weights(weights)["about"] | {"x": torch.ones(1)}
    )
    with pytest.raises(InputError, match="cannot be written as JSON"):
        exported(stranger)
    assert [path.name for path in tmp_path.iterdir()] == ["s.pt"]


# speed


def test_files_are_compared(weights, int8_model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--quick", "--threads", "1", "--files", str(weights), str(int8_model)])
    benchmark.main()
    table = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith(f"| {weights.parent}")]
    assert [row[0].strip("| ") for row in table] == [str(weights), str(int8_model)]
    assert float(table[0][4].replace(",", "")) > 0 and float(table[0][5]) == 1
