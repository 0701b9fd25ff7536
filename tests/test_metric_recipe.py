"""The recipe Metric refuses wrong settings wherever it is made, and tries the network out no oftener than that takes."""

import pytest

import models.embedder
from common.config import Config, make_config
from common.errors import InputError
from datasets.manifest import Manifest
from datasets.photographs.photographs import Photographs
from datasets.readers.folder import Folder
from recipes.metric import Metric
from tests.tiny import draw_people
from training.checks import check_settings

SIDE = 24


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Manifest:
    return Folder(str(draw_people(tmp_path_factory.mktemp("people"), people=6, photographs=2))).faces("train")


def config(model: dict | None = None, **train: object) -> Config:
    model = {"backbone": "small", "image_size": SIDE, "embedding_size": 8} | (model or {})
    return make_config({"model": model, "train": {"terms": ["softmax"], "batch_size": 2, "num_instances": 2} | train})


@pytest.mark.parametrize(
    "settings, options, message",
    [
        (config(terms=[{"name": "softmax", "smoothing": 3.0}]), {}, "smoothing"),
        (config(model={"max_parameters": 10}), {}, "more than model.max_parameters = 10"),
        (config(model={"image_size": 32}), {"image_sizes": [16, 24]}, "up to model.image_size = 32"),
        (config(model={"backbone": "mobilefacenet", "image_size": 32}), {"image_sizes": [16, 32]}, "mobilefacenet reads only"),
        (config(augment=[{"name": "crop", "side": 16}]), {}, "train.augment crops images to 16 pixels"),
        (config(), {"whiten": 1}, "no two show one person"),
        (config(), {"balance": "angle"}, "train.recipe.balance is 'angle'"),
    ],
)
def test_whoever_makes_the_recipe_is_told_what_the_check_tells(faces, settings, options, message):
    with pytest.raises(InputError, match=message) as checked:
        Metric.check(settings, faces, **options)
    with pytest.raises(InputError) as made:
        Metric(settings, faces, Photographs(faces, settings.model.image_size, "read"), **options)
    assert str(made.value) == str(checked.value)


def test_people_with_one_photograph_are_told_without_the_check(faces):
    few = faces.of_files(faces.file_names[1:])
    with pytest.raises(InputError, match="have only one photograph"):
        Metric(config(), few, Photographs(few, SIDE, "read"))


def test_a_run_makes_the_network_once_and_tries_it_out_twice(faces, monkeypatch):
    """Once before the photographs are decoded, and once more so that nobody can make one that is too large."""
    devices, assembled = [], models.embedder._assembled

    def counted(*given):
        embedder = assembled(*given)
        devices.append(next(embedder.parameters()).device.type)
        return embedder

    monkeypatch.setattr(models.embedder, "_assembled", counted)
    settings = config(recipe="metric")
    check_settings(settings, faces, "train")
    Metric(settings, faces, Photographs(faces, SIDE, "read"))
    assert devices == ["meta", "meta", "cpu"]
