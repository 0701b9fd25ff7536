"""Backbones, embedder and weight files."""

import functools
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import ModelConfig
from common.devices import choose_precision, mixed_precision
from common.errors import InputError
from models.archive import FORMAT, save_tensors
from models.backbones import BACKBONES
from models.embedder import build_backbone, build_embedder, parameter_count
from models.layers.convolution import Conv2d
from models.layers.folding import folded
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


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_trains_one_step(name):
    torch.manual_seed(0)
    config = light_model(name, embedding_size=8)
    side = config.image_size
    embedder = build_embedder(config)
    optimizer = torch.optim.SGD(embedder.parameters(), lr=0.1)
    before = {key: value.clone() for key, value in embedder.state_dict().items()}
    embeddings = embedder(torch.randn(4, 3, side, side))
    assert embeddings.shape == (4, 8) and embedder.backbone(torch.randn(2, 3, side, side)).shape == (
        2,
        embedder.backbone.out_channels,
    )
    embeddings.square().mean().backward()
    optimizer.step()
    after = embedder.state_dict()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in embedder.parameters())
    assert all((before[key] != after[key]).any() for key, value in embedder.named_parameters() if value.grad.abs().sum() > 0)


def multiply_adds(model: nn.Module, side: int) -> tuple[int, torch.Size]:
    """Multiply-adds of a meta model's convolutions and linear layers for one image, and the shape of what it makes."""
    counts = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(lambda layer, _, output: counts.append(output.numel() * layer.weight[0].numel()))
    with torch.no_grad():
        features = model.eval()(torch.empty(1, 3, side, side, device="meta"))
    return sum(counts), features.shape


LAYER = 25_088 * 512  # multiply-adds of the embedding layer of a resnet_ir, whose bias and BatchNorm take 3 * 512 parameters


@pytest.mark.parametrize(
    ("name", "options", "side", "parameters", "millions", "features"),
    [
        # published with an embedding layer without bias and BatchNorm after it
        ("mobilefacenet", {}, 112, 1_200_512 - 512 * 512 - 2 * 512, 221.16 - 512 * 512 / 1e6, 512),
        ("inception_resnet_v1", {}, 160, 23_482_624 - 1_792 * 512 - 2 * 512, None, 1_792),
        # published with a bias in that layer
        ("resnet_ir", {}, 112, 43_574_976 - LAYER - 3 * 512, 6_296.49 - LAYER / 1e6, 25_088),
        ("resnet_ir", {"se": True}, 112, 43_797_696 - LAYER - 3 * 512, None, 25_088),
        ("resnet_ir", {"units": [3, 13, 30, 3]}, 112, 65_129_792 - LAYER - 3 * 512, 12_076.76 - LAYER / 1e6, 25_088),
        # with a classifier of 2,360
        ("inception_resnet_v1", {}, 224, 22_564_096, 3_143.91 - 1_792 * 2_360 / 1e6, 1_792),
        # other sizes
        ("mobilefacenet", {}, 96, 937_344 - 512 * (49 - 36), None, 512),
        ("resnet_ir", {}, 75, 30_728_384, None, 512 * 5 * 5),
        ("inception_resnet_v1", {}, 112, 22_564_096, None, 1_792),
    ],
)
def test_backbones_are_as_large_as_published(name, options, side, parameters, millions, features):
    with torch.device("meta"):
        backbone = build_backbone(ModelConfig(backbone=name, backbone_options=options, image_size=side))
    assert parameter_count(backbone) == parameters
    work, shape = multiply_adds(backbone, side)
    assert shape == (1, features) and backbone.out_channels == features
    assert millions is None or work / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("name", ["inception_resnet_v1", "mobilefacenet", "resnet_ir"])
def test_the_loss_reaches_every_parameter(name):
    torch.manual_seed(1)  # with 0 all four ReLUs of the first squeeze-and-excitation happen to be shut
    config = light_model(name)
    backbone = build_backbone(config).eval()  # in training, BatchNorm takes out again what a bias adds ahead of it
    features = backbone(torch.randn(2, 3, config.image_size, config.image_size))
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    assert not [key for key, parameter in backbone.named_parameters() if not parameter.grad.abs().sum() > 0]


def test_backbones_refuse_what_they_cannot_be_built_with():
    with pytest.raises(InputError, match="resnet_ir, 512 dimensions. has 43,573,952 parameters, more than"):
        build_embedder(ModelConfig(backbone="resnet_ir"))
    for units in ([3, 4, 14], [3, 4, 14, 0]):
        with pytest.raises(InputError, match="'resnet_ir' cannot be built with .*units should be 4 numbers, each at least 1"):
            build_embedder(ModelConfig(backbone="resnet_ir", backbone_options={"units": units}))
    with pytest.raises(InputError, match="at least 75 pixels a side, and these have 74"):
        build_embedder(ModelConfig(backbone="inception_resnet_v1", image_size=74))


@pytest.mark.parametrize("size", [112, 96, 64, 100, 75])
def test_faster_padding_and_swish_compute_the_packages_own_function(size):
    from efficientnet_pytorch import EfficientNet

    torch.manual_seed(0)
    ours = build_backbone(ModelConfig(image_size=size)).eval()
    reference = EfficientNet.from_name("efficientnet-b0", image_size=size, include_top=False).eval()
    reference.load_state_dict({name.removeprefix("network."): value for name, value in ours.state_dict().items()})
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(ours(images), reference(images).flatten(1), atol=1e-5)


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
        made = network(seen).flatten(1)
        (made * torch.linspace(-1, 1, made.numel()).view_as(made)).sum().backward()
        features.append([made, seen.grad])
    torch.testing.assert_close(features[1], features[0])
    for expected, actual in zip(reference.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-6, atol=1e-9)


def test_unknown_backbone_lists_the_known_ones():
    with pytest.raises(
        InputError,
        match="unknown backbone 'resnet'; known: efficientnet_b0, inception_resnet_v1, mobilefacenet, resnet_ir, small",
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
    path = save_weights(tmp_path / "p.pt", "pretext", pretext.state_dict(), {})
    embedder = build_embedder(SMALL)
    layer = embedder.embedding.weight.clone()
    start_from(embedder, path)
    assert all(torch.equal(value, embedder.backbone.state_dict()[name]) for name, value in pretext.backbone.state_dict().items())
    assert torch.equal(layer, embedder.embedding.weight)


def test_another_architecture_is_named(tmp_path):
    path = save_weights(tmp_path / "w.pt", "embedder", build_embedder(SMALL).state_dict(), {})
    with pytest.raises(InputError, match=r"another architecture: \d+ tensors differ \("):
        start_from(build_embedder(ModelConfig(image_size=32)), path)
    with pytest.raises(InputError, match="2 tensors differ .embedding.bias, embedding.weight"):
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


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_folding_keeps_the_embeddings_and_the_embedder(name):
    torch.manual_seed(0)
    config = light_model(name, embedding_size=8, embedding_norm=True)
    embedder = build_embedder(config)
    for module in embedder.modules():
        if isinstance(module, _BatchNorm):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    embedder.eval()
    before = {key: value.clone() for key, value in embedder.state_dict().items()}
    images = torch.randn(2, 3, config.image_size, config.image_size)
    small = folded(embedder)
    with torch.inference_mode():
        expected = embedder(images)
        torch.testing.assert_close(small(images), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    norms = [[isinstance(module, _BatchNorm) for module in model.modules()] for model in (embedder, small)]
    assert sum(norms[1]) < sum(norms[0])
    assert all(torch.equal(before[key], value) for key, value in embedder.state_dict().items())


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
