"""Backbones, embedder and weight files."""

import functools
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import ModelConfig, read_config
from common.devices import choose_precision, mixed_precision
from common.errors import InputError
from models.archive import FORMAT, save_tensors
from models.backbones import BACKBONES
from models.counts import parameter_count
from models.embedder import build_backbone, build_embedder
from models.heads import HEADS
from models.heads.depthwise import Depthwise
from models.heads.flatten import Flatten
from models.heads.pool import Pool
from models.layers.convolution import Conv2d
from models.layers.folding import folded
from models.layers.pooling import pooled
from models.model_file import read_embedder
from models.pretext import PretextModel
from models.weights import fill, load_weights, save_weights, start_from
from tests.tiny import light_model

SMALL = ModelConfig(backbone="small", embedding_size=8, image_size=32)


def test_the_shipped_embedder_has_exactly_4663420_parameters():
    embedder = build_embedder(ModelConfig())
    assert parameter_count(embedder) == 4_663_420
    assert parameter_count(embedder.backbone) == 4_007_548


def test_a_larger_embedder_is_refused():
    with pytest.raises(InputError, match="4,663,420 parameters, more than model.max_parameters = 4,663,419"):
        build_embedder(ModelConfig(max_parameters=4_663_419))


def test_the_published_head_takes_options_and_another_replaces_it():
    def head(**model) -> nn.Module:
        return build_embedder(read_config([], {"model": {"backbone": "small", "image_size": 32, **model}}).model).head

    assert isinstance(head(), Pool) and head().dropout.p == 0.2 and isinstance(head().norm, nn.Identity)
    assert isinstance(head(head={"norm": True}).norm, nn.BatchNorm1d)
    net = {"backbone": {"name": "resnet_ir", "units": [1, 1, 1, 1]}, "max_parameters": 30_000_000}
    assert isinstance(head(**net), Flatten) and head(**net).dropout.p == 0.4
    assert head(**net, head={"dropout": 0.1}).dropout.p == 0.1
    assert isinstance(head(**net, head="depthwise"), Depthwise)
    assert head(backbone="mobilefacenet", head={"dropout": 0.3}).dropout.p == 0.3
    with pytest.raises(InputError, match="head 'depthwise' has no option norm; it takes: dropout"):
        head(backbone="mobilefacenet", head={"norm": True})
    with pytest.raises(InputError, match="unknown head 'conv'; known: depthwise, flatten, pool"):
        head(head="conv")


def test_only_the_pool_head_reads_images_of_other_sizes():
    for name in HEADS:
        embedder = build_embedder(light_model("small", image_size=64, head=name)).eval()
        for side in (48, 80):
            if name == "pool":
                assert embedder(torch.zeros(2, 3, side, side)).shape == (2, 512)
            else:
                with pytest.raises(RuntimeError):
                    embedder(torch.zeros(2, 3, side, side))


@pytest.mark.parametrize("name", sorted(HEADS))
def test_heads_read_maps_of_unequal_sides(name):
    """Such as those of the upper half of a face."""
    torch.manual_seed(0)
    head = HEADS.build(name, in_channels=6, map_size=(2, 3), embedding_size=5).eval()
    for norm in head.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    maps = torch.randn(4, 6, 2, 3)
    embeddings = head(maps)
    assert embeddings.shape == (4, 5)
    head.fold()
    torch.testing.assert_close(head(maps), embeddings)


def test_backbones_refuse_what_they_cannot_be_built_with():
    with pytest.raises(InputError, match="resnet_ir, head flatten, 512 dimensions. has 43,574,976 parameters, more than"):
        build_embedder(ModelConfig(backbone="resnet_ir"))
    for units in ([3, 4, 14], [3, 4, 14, 0], [3, 4, 10**9, 3]):
        with pytest.raises(InputError, match="'resnet_ir' cannot be built with .*units should be 4 numbers, each from 1 to 100"):
            build_embedder(ModelConfig(backbone={"name": "resnet_ir", "units": units}))
    for blocks in ([5, 10], [5, 10, 0], [5, 10**9, 5]):
        with pytest.raises(
            InputError, match="'inception_resnet_v1' cannot be built with .*blocks should be 3 numbers, each from 1"
        ):
            build_embedder(ModelConfig(backbone={"name": "inception_resnet_v1", "blocks": blocks}))
    with pytest.raises(InputError, match="at least 75 pixels a side, and these have 74"):
        build_embedder(ModelConfig(backbone="inception_resnet_v1", image_size=74))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"embedding_size": 10**18}, "'model.embedding_size' is 1000000000000000000, .* less than or equal to 8192"),
        ({"embedding_size": 0}, "'model.embedding_size' is 0, .* greater than or equal to 1"),
        ({"image_size": 10**30}, "'model.image_size' is 1000000000000000000000000000000, which is wrong"),
        ({"image_size": 1025}, "'model.image_size' is 1025, .* less than or equal to 1024"),
        ({"backbone": {"drop_connect": 5.0}}, "'efficientnet_b0': option drop_connect is 5.0, .* less than or equal to 1"),
        ({"backbone": {"drop_connect": -0.5}}, "'efficientnet_b0': option drop_connect is -0.5, .* greater than or equal to 0"),
        ({"backbone": {"momentum": 1.5}}, "option momentum is 1.5"),
        ({"head": {"dropout": 1.5}}, "head 'pool': option dropout is 1.5, .* less than or equal to 1"),
        ({"dropout": 0.1}, "unknown setting 'model.dropout'; known here: backbone, head"),
    ],
)
def test_settings_out_of_range_are_one_sentence(model, message):
    with pytest.raises(InputError, match=message):
        build_embedder(read_config([], {"model": model}).model)


@pytest.mark.parametrize("size", [112, 96, 64, 100, 75])
def test_faster_padding_and_swish_compute_the_packages_own_function(size):
    from efficientnet_pytorch import EfficientNet

    torch.manual_seed(0)
    ours = build_backbone(ModelConfig(image_size=size)).eval()
    reference = EfficientNet.from_name("efficientnet-b0", image_size=size, include_top=False).eval()
    reference.load_state_dict({name.removeprefix("network."): value for name, value in ours.state_dict().items()})
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(pooled(ours(images)), reference(images).flatten(1), atol=1e-5)


def test_a_training_step_is_that_of_the_package():
    from efficientnet_pytorch import EfficientNet

    torch.manual_seed(0)
    ours = build_backbone(ModelConfig(image_size=50)).double()
    reference = EfficientNet.from_name("efficientnet-b0", image_size=50, include_top=False).double()
    reference.load_state_dict({name.removeprefix("network."): value for name, value in ours.state_dict().items()})
    images = torch.randn(4, 3, 50, 50, dtype=torch.float64)
    features = []
    for network in (reference, ours):
        torch.manual_seed(1)  # of drop-connect
        seen = images.clone().requires_grad_()
        made = (network(seen) if network is reference else pooled(network(seen))).flatten(1)
        (made * torch.linspace(-1, 1, made.numel()).view_as(made)).sum().backward()
        features.append([made, seen.grad])
    torch.testing.assert_close(features[1], features[0])
    for expected, actual in zip(reference.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-6, atol=1e-9)


def test_unknown_backbone_lists_the_known_ones():
    with pytest.raises(
        InputError,
        match=f"unknown backbone 'resnet'; known: {', '.join(sorted(BACKBONES))}$",
    ):
        build_embedder(ModelConfig(backbone="resnet"))


def test_weight_files_round_trip_and_are_byte_stable(tmp_path):
    embedder = build_embedder(SMALL)
    about = {"config": {"model": {"backbone": "small"}}, "validation": {"thresholds": {"plain": 0.25}}}
    first = save_weights(tmp_path / "a.pt", "embedder", embedder.state_dict(), about)
    second = save_weights(tmp_path / "another-name.pt", "embedder", embedder.state_dict(), about)
    assert first.read_bytes() == second.read_bytes()
    content = load_weights(first)
    assert content["about"] == about and content["kind"] == "embedder"
    other = build_embedder(SMALL)
    fill(other, content["state"], "x")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in embedder.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt", "another-name.pt"] or len(list(tmp_path.iterdir())) == 2


def test_pretext_backbone_starts_an_embedder(tmp_path):
    pretext = PretextModel(build_backbone(SMALL), {"angle": 3})
    assert pretext(torch.randn(2, 3, 32, 32))["angle"].shape == (2, 3)
    path = save_weights(tmp_path / "p.pt", "pretext", pretext.state_dict(), {})
    embedder = build_embedder(SMALL)
    layer = embedder.head.linear.weight.clone()
    start_from(embedder, path)
    assert all(torch.equal(value, embedder.backbone.state_dict()[name]) for name, value in pretext.backbone.state_dict().items())
    assert torch.equal(layer, embedder.head.linear.weight)


@pytest.mark.parametrize("kind, prefix", [("embedder", ""), ("classifier", "network.")])
def test_an_embedder_starts_another_also_from_beside_its_classifier(tmp_path, kind, prefix):
    first, second = build_embedder(SMALL), build_embedder(SMALL)
    state = {f"{prefix}{name}": value for name, value in first.state_dict().items()}
    if kind == "classifier":
        state["objective.softmax.classifier.weight"] = torch.ones(3, 8)
    start_from(second, save_weights(tmp_path / "w.pt", kind, state, {}))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_another_architecture_is_named(tmp_path):
    path = save_weights(tmp_path / "w.pt", "embedder", build_embedder(SMALL).state_dict(), {})
    with pytest.raises(InputError, match=r"another architecture: \d+ tensors differ \("):
        start_from(build_embedder(ModelConfig(image_size=32)), path)
    with pytest.raises(InputError, match="2 tensors differ .head.linear.bias, head.linear.weight"):
        start_from(build_embedder(ModelConfig(backbone="small", embedding_size=9, image_size=32)), path)
    with pytest.raises(InputError, match="holds a 'embedder' model; expected pretext"):
        load_weights(path, kinds=("pretext",))


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_weight_file_is_executed(tmp_path):
    save_tensors(tmp_path / "w.pt", {"format": FORMAT, "kind": "embedder", "about": {}, "state": Trap(tmp_path / "trapped")})
    with pytest.raises(InputError, match="corrupt or not a weight file"):
        load_weights(tmp_path / "w.pt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"embedding_size": 10**10},
        {"image_size": 10**6},
        {"image_size": 60_000},
        {"embedding_size": 8_192, "image_size": 1_024, "head": "flatten", "max_parameters": 10**15},  # 8 TB of weights
        {"backbone": {"name": "resnet_ir", "units": [10**9, 1, 1, 1]}, "max_parameters": 10**15},
        {"backbone": 3},
    ],
)
def test_a_file_that_asks_for_more_than_it_holds_takes_no_memory(tmp_path, model, monkeypatch):
    about = {"config": {"model": {"backbone": "small", **model}}}
    path = save_weights(tmp_path / "w.pt", "embedder", build_embedder(SMALL).state_dict(), about)

    def initialised(self) -> None:
        assert self.weight.is_meta

    monkeypatch.setattr(nn.Linear, "reset_parameters", initialised)
    with pytest.raises(InputError, match="w.pt"):
        read_embedder(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = build_embedder(SMALL).state_dict()
    state["head.linear.weight"] = state["head.linear.weight"] * float("nan")
    path = save_weights(tmp_path / "w.pt", "embedder", state, {"config": {"model": asdict(SMALL)}})
    for reads in (read_embedder, lambda path: start_from(build_embedder(SMALL), path)):
        with pytest.raises(InputError, match="w.pt' is of no use: 1 of its tensors are not finite .head.linear.weight"):
            reads(path)


def test_a_nested_tensor_is_no_weight(tmp_path):
    state = {"a": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}
    torch.save({"format": 1, "kind": "embedder", "about": {}, "state": state}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="w.pt"):
        load_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [1],
        {"format": FORMAT + 1, "kind": "embedder", "about": {}, "state": {}},
        {"format": FORMAT, "kind": "embedder", "about": 3, "state": {"a": "b"}},
    ],
)
def test_foreign_files_are_refused(tmp_path, content):
    save_tensors(tmp_path / "w.pt", content)
    with pytest.raises(InputError, match="w.pt"):
        load_weights(tmp_path / "w.pt")


@functools.cache
def whole_weight_file() -> bytes:
    """No fixture: hypothesis would print its half million bytes with a failure."""
    with tempfile.TemporaryDirectory() as folder:
        return save_weights(Path(folder) / "w.pt", "embedder", build_embedder(SMALL).state_dict(), {}).read_bytes()


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_corrupt_weight_files_are_one_sentence(tmp_path_factory, data):
    whole = whole_weight_file()
    kind = data.draw(st.sampled_from(["cut", "flip", "random"]))
    if kind == "cut":
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif kind == "flip":
        place = data.draw(st.integers(0, len(whole) - 1))
        content = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
    else:
        content = data.draw(st.binary(max_size=200))
    path = tmp_path_factory.mktemp("corrupt") / "w.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="w.pt' is damaged"):
        load_weights(path)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "side"),
    [
        (1, 1, 1, 9),
        (3, 1, 16, 9),
        (3, 2, 16, 9),
        (5, 1, 16, 9),
        (5, 2, 16, 10),
        (5, 1, 16, 3),
        (3, 1, 16, 2),
        (7, 1, 16, 11),
        (3, 2, 1, 9),
    ],
)
def test_convolutions_and_their_gradients_are_those_of_the_tensor_library(kernel, stride, groups, side):
    plain = nn.Conv2d(16, 16, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=groups == 1)
    ours = Conv2d(16, 16, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=groups == 1)
    ours.load_state_dict(plain.state_dict())
    images = torch.randn(4, 16, side, side).to(memory_format=torch.channels_last)
    results = []
    for layer in (plain, ours):
        seen = images.clone().requires_grad_()
        output = layer(seen)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append([output, seen.grad, *(weight.grad for weight in layer.parameters())])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_gradients_follow_those_in_float32():
    layers = [nn.Sequential(Conv2d(8, 32, 1), Conv2d(32, 32, 5, stride=2, padding=2, groups=32, bias=False)) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    images = torch.randn(8, 8, 12, 12)
    for name, layer in zip(("fp32", "bf16"), layers, strict=True):
        with mixed_precision(name, images.device):
            output = layer(images)
        assert output.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
        output.float().square().sum().backward()
    for expected, actual in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert actual.grad.dtype == torch.float32
        assert (actual.grad - expected.grad).norm() < 0.03 * expected.grad.norm()


@pytest.mark.parametrize(
    "has, chosen",
    [
        ({}, "fp32"),
        ({"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_auto_precision_asks_the_processor(monkeypatch, has, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert choose_precision("auto", torch.device("cpu")) == chosen
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"


def test_folding_keeps_a_norm_that_something_else_reads_around():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, images):
            plain = self.layer(images)
            return plain + self.norm(plain)

    fork = Fork().eval()
    nn.init.uniform_(fork.norm.running_var, 2.0, 3.0)
    inputs = torch.randn(4, 3)
    torch.testing.assert_close(folded(fork)(inputs), fork(inputs))


def test_folding_keeps_a_norm_behind_a_layer_that_runs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, images):
            return self.layer(self.norm(self.layer(images)))

    twice = Twice().eval()
    nn.init.uniform_(twice.norm.running_var, 2.0, 3.0)
    inputs = torch.randn(4, 3)
    torch.testing.assert_close(folded(twice)(inputs), twice(inputs))
