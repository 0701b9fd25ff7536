"""The upper part of a face: what a network sees of it, how large it then is, and that its files say so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.config import ModelConfig
from common.errors import InputError
from models.backbones.backbone import named_maps
from models.backbones.upper import upper_rows
from models.counts import parameter_count
from models.embedder import build_embedder, embedder_shapes
from models.layers.folding import folded
from models.model_file import read_embedder
from models.weights import save_weights
from tests.tiny import light_model


def test_facex_reads_sixty_of_112_rows_with_1_189_760_parameters():
    """MobileFaceNet whose global depthwise convolution is 4 x 7, as in FaceX-Zoo's masked-face challenge."""
    whole = ModelConfig(backbone="mobilefacenet", embedding_size=512, image_size=112)
    upper = embedder_shapes(replace(whole, part="upper"))
    assert upper_rows(112) == 60 and upper.head.depthwise.weight.shape[2:] == (4, 7)
    assert [parameter_count(it) for it in (embedder_shapes(whole), upper)] == [1_200_512, 1_189_760]


@pytest.mark.parametrize("backbone", ["small", "mobilefacenet", "efficientnet_b0"])
@pytest.mark.parametrize("head", ["pool", "flatten"])
def test_only_the_upper_rows_count(backbone, head):
    """The embedder is that of the cut image, and what lies below changes nothing."""
    config = light_model(backbone, part="upper", head=head, max_parameters=30_000_000, image_size=48)
    embedder = build_embedder(config).eval()
    images = torch.randn(2, 3, 48, 48)
    rows = upper_rows(48)
    below = images.clone()
    below[:, :, rows:] = 5
    with torch.no_grad():
        embeddings = embedder(images)
        assert torch.equal(embedder(below), embeddings)
        maps = embedder.backbone.whole(images[:, :, :rows])
        assert torch.equal(embedder.head(maps), embeddings)
        assert tuple(maps.shape[2:]) == embedder.backbone.map_size(48)
        assert torch.allclose(folded(embedder)(images), embeddings, atol=1e-4)
        last = list(embedder.backbone.stages())[-1]
        assert torch.equal(named_maps(embedder.backbone, images, [last])[last], maps)


def test_efficientnet_pads_height_and_width_each_by_itself():
    """TensorFlow's "same" padding, computed by the rule: as much as makes ceil(size / stride) places, the odd pixel behind."""
    network = build_embedder(light_model("efficientnet_b0", part="upper", image_size=112)).backbone.whole.network
    stem, (height, width) = network._conv_stem, (60, 112)
    padding = [max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in (height, width)]
    assert padding == [1, 1] and stem.before.padding == (0, 1, 0, 1)
    strided = network._blocks[3]._depthwise_conv  # 5 x 5, stride 2, of 15 x 28 places: three rows on top and below, 1 and 2
    assert strided.kernel_size == (5, 5) and strided.stride == (2, 2)
    assert strided.before.padding == (1, 2, 2, 2)


@pytest.mark.parametrize("backbone", ["squeezenext", "lightcnn"])
def test_a_network_made_for_squares_is_refused(backbone):
    with pytest.raises(InputError, match=f"model.part is 'upper', and {backbone} is made for square images"):
        build_embedder(light_model(backbone, part="upper"))


def test_the_files_say_which_part_is_read(tmp_path):
    config = light_model("small", part="upper", embedding_size=8)
    embedder, images = build_embedder(config).eval(), torch.randn(3, 3, 32, 32)
    about = {"config": {"model": {"backbone": "small", "embedding_size": 8, "image_size": 32, "part": "upper"}}}
    weights = save_weights(tmp_path / "upper.pt", "embedder", embedder.state_dict(), about)
    assert torch.equal(read_embedder(weights).embedder(images), embedder(images))
    other = save_weights(tmp_path / "whole.pt", "embedder", build_embedder(replace(config, part="whole")).state_dict(), about)
    with pytest.raises(InputError, match="belongs to another architecture"):
        read_embedder(other)


def test_the_exported_graph_reads_the_same_part():
    runtime = pytest.importorskip("onnxruntime")
    from models.serving.graph import make_graph

    embedder = build_embedder(light_model("small", part="upper", image_size=48, embedding_size=8)).eval()
    images = torch.randn(2, 3, 48, 48)
    session = runtime.InferenceSession(make_graph(embedder, 48), providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images.numpy()})[0]
    with torch.no_grad():
        assert np.abs(found - embedder(images).numpy()).max() < 1e-4
