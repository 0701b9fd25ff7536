"""Within-class whitening against its definition, and what it does to the layer that ships."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import ModelConfig
from models.embedder import build_embedder
from models.whitening import SHRINKAGE, whitened, within_class_whitening

SMALL = ModelConfig(backbone="small", embedding_size=6, image_size=32)
GROUPED = {"name": "depthwise", "group": 8, "inner": 16, "bias": True}
LABELS = np.repeat(np.arange(20), 4)


def scattered() -> torch.Tensor:
    """float64 [80, 6]: people apart in all directions, each person's own images mostly in the first."""
    random = torch.Generator().manual_seed(0)
    people = torch.randn(20, 6, generator=random, dtype=torch.float64)
    return people[LABELS] + torch.randn(80, 6, generator=random, dtype=torch.float64) * torch.tensor([5.0, 1, 1, 1, 1, 0.1])


def within(embeddings: torch.Tensor) -> np.ndarray:
    """The pooled covariance around each person's mean, by a loop over people."""
    scatter = sum(3 * np.cov(embeddings[LABELS == person].numpy().T) for person in range(20))
    return scatter / (80 - 20)


def test_whitening_is_the_inverse_root_of_the_shrunk_covariance_within_people():
    embeddings = scattered()
    covariance = within(embeddings)
    shrunk = covariance + SHRINKAGE * np.linalg.eigvalsh(covariance).max() * np.eye(6)
    whitening = within_class_whitening(embeddings, LABELS).numpy()
    np.testing.assert_allclose(whitening @ shrunk @ whitening, np.eye(6), atol=1e-9)
    np.testing.assert_allclose(whitening, whitening.T, atol=1e-12)


@pytest.mark.parametrize("head", ["pool", {"name": "pool", "norm": True}, "flatten", "depthwise", GROUPED], ids=str)
def test_the_copy_embeds_as_the_original_does_but_centred_and_whitened(head):
    torch.manual_seed(0)
    embedder = build_embedder(replace(SMALL, head=head))
    for module in embedder.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    images = torch.randn(80, 3, 32, 32)
    with torch.no_grad():
        embedder.train()(images)
    embedder.eval()
    with torch.no_grad():
        embeddings = embedder(images)
        copy = whitened(embedder, embeddings, LABELS)
        whitening = within_class_whitening(embeddings.double(), LABELS)
        expected = (embeddings.double() - embeddings.double().mean(dim=0)) @ whitening
        torch.testing.assert_close(copy(images).double(), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(embedder(images), embeddings, rtol=0, atol=0)
    assert [tensor.shape for tensor in copy.state_dict().values()] == [t.shape for t in embedder.state_dict().values()]


@pytest.mark.parametrize("head", [{"name": "pool", "norm": True}, "flatten", "depthwise", GROUPED], ids=str)
def test_a_batch_norm_after_the_linear_layer_is_left_to_do_nothing(head):
    torch.manual_seed(0)
    embedder = build_embedder(replace(SMALL, head=head)).eval()
    norm = whitened(embedder, torch.randn(80, 6), LABELS).head.norm
    values = torch.randn(80, 6)
    with torch.no_grad():
        torch.testing.assert_close(norm(values), values + norm.bias)
    assert bool(norm.bias.any()) == (embedder.head.linear.bias is None)


def test_it_takes_two_images_of_a_person():
    with pytest.raises(ValueError, match="no identity has two images"):
        within_class_whitening(torch.randn(5, 6), np.arange(5))
