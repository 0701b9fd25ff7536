"""Semi-siamese training: its queue, its loss and its batches against naive ones, and whole runs at tiny size."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import train
from common.config import Config, DataConfig, make_config, read_config
from common.devices import seed_everything
from common.errors import InputError
from datasets.batches.samplers import WaitingSampler
from datasets.manifest import Manifest
from datasets.photographs.photographs import Photographs
from datasets.readers.folder import Folder
from datasets.readers.opening import open_reader
from datasets.readers.shallow import few_of_each
from distributed import processes
from losses import LOSSES, build_objective
from losses.prototype_queue import NOBODY, PrototypeQueue
from models.counts import parameter_count
from models.embedder import embedder_shapes
from models.weights import load_weights, trained_on
from recipes.semi_siamese import SemiSiamese, queue_size, takes_cosines
from tests.started import run_two
from tests.tiny import draw_people
from training.checks import check_settings
from training.engine import step
from training.optimisers import OPTIMIZERS

ROOT = Path(__file__).parent.parent
SIDE, DIMENSIONS, BATCH, QUEUE = 24, 8, 2, 4
RECIPE = {"name": "semi_siamese", "queue": QUEUE, "momentum": 0.9}


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"), people=14, photographs=3)


@pytest.fixture(scope="module")
def faces(people) -> Manifest:
    return Folder(str(people)).faces("train")  # eight people


@pytest.fixture(scope="module")
def photographs(faces) -> Photographs:
    return Photographs(faces, SIDE, "read")


def settings(people: Path | str = "", results: Path | str = "results", **stage: Any) -> dict[str, Any]:
    chosen = {"recipe": RECIPE, "batch_size": BATCH, "num_instances": 2, "terms": ["am_softmax"], "epochs": 3}
    model = {"backbone": "small", "image_size": SIDE, "embedding_size": DIMENSIONS, "head": {"name": "pool", "dropout": 0.5}}
    return {
        "name": "pairs",
        "results": str(results),
        "threads": 1,
        "data": {"reader": {"name": "folder", "pairs": 20}, "root": str(people), "most_per_person": 2},
        "model": model,
        "train": chosen | stage,
    }


def made(faces: Manifest, photographs: Photographs, given: dict[str, Any] | None = None, **stage: Any) -> SemiSiamese:
    """The recipe with its options `given`, at the start of an epoch."""
    seed_everything(0, 1)
    recipe = SemiSiamese(make_config(settings(**stage)), faces, photographs, **{"queue": QUEUE, "momentum": 0.9} | (given or {}))
    recipe.train().on_epoch_start(0)
    return recipe


def naive_cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one * other).sum() / (one.norm() * other.norm())).item()


def test_the_queue_is_a_list_whose_oldest_make_room():
    torch.manual_seed(0)
    queue = PrototypeQueue(DIMENSIONS, 6)
    columns, whose, place = [queue.columns[:, slot].clone() for slot in range(6)], [NOBODY] * 6, 0
    for step_number in range(5):
        probes, prototypes = torch.randn(2, 2, DIMENSIONS)
        given = list(columns)
        for row in range(2):
            given[place + row] = prototypes[row]
        expected = [[naive_cosine(probe, column) for column in given] for probe in probes]
        torch.testing.assert_close(queue.cosines(probes, prototypes), torch.tensor(expected))
        assert queue.slots(2).tolist() == [place, place + 1]
        torch.testing.assert_close(queue.columns, torch.stack(columns, dim=1))  # as if they were in it, and no more
        people = torch.tensor([10 * step_number, 10 * step_number + 1])
        queue.push(prototypes, people)
        for row in range(2):
            columns[place + row], whose[place + row] = prototypes[row] / prototypes[row].norm(), int(people[row])
        place = (place + 2) % 6
        torch.testing.assert_close(queue.columns, torch.stack(columns, dim=1))
        assert queue.people.tolist() == whose and int(queue.pointer) == place


def test_the_loss_is_that_of_a_naive_loop_in_both_directions(faces, photographs):
    recipe = made(faces, photographs)
    recipe.network.head.dropout.p = 0.0
    for batch in recipe.loader(0):
        probe, gallery, columns = deepcopy(recipe.network), deepcopy(recipe.gallery), recipe.queue.columns.clone()
        place, images = int(recipe.queue.pointer), batch["image"].permute(0, 3, 1, 2) / 127.5 - 1
        probes, prototypes = [], []
        for turn in (0, 1):  # each its own batch, as for its BatchNorm
            probes.append(probe(images[turn::2]))
            prototypes.append(gallery(images[turn::2]))
        losses = []
        for turn in (0, 1):
            for row in range(BATCH):
                cosines = []
                for slot in range(QUEUE):
                    ours = place <= slot < place + BATCH
                    column = prototypes[1 - turn][slot - place] if ours else columns[:, slot]
                    cosines.append(naive_cosine(probes[turn][row], column))
                cosines[place + row] -= 0.35
                exponents = np.exp(32 * np.array(cosines))
                losses.append(-np.log(exponents[place + row] / exponents.sum()))
        outcome = recipe(batch)
        assert outcome.terms["am_softmax"].item() == pytest.approx(np.mean(losses), rel=1e-4)
        kept = recipe.queue.columns[:, place : place + BATCH].T
        same = [torch.allclose(kept, functional.normalize(prototype), atol=1e-5) for prototype in prototypes]
        assert sum(same) == 1
        whose = recipe.queue.people[place : place + BATCH].tolist()
        assert whose == batch["label"][::2].tolist() == batch["label"][1::2].tolist()


def test_either_photograph_may_stay_and_the_draw_is_that_of_the_epoch(faces, photographs):
    recipe = made(faces, photographs)
    coins = []
    for epoch in (0, 1, 0):
        recipe.on_epoch_start(epoch)
        coins.append([int(recipe.random.integers(2)) for _ in range(20)])
    assert set(coins[0]) == {0, 1} and coins[0] == coins[2] != coins[1]


def test_only_the_probe_learns_and_the_gallery_follows(faces, photographs):
    recipe = made(faces, photographs)
    for trained, slow in zip(recipe.network.state_dict().values(), recipe.gallery.state_dict().values(), strict=True):
        assert torch.equal(trained, slow)
    own = list(recipe.network.parameters())
    [group] = recipe.parameter_groups()
    assert {id(weight) for weight in group["params"]} == {id(weight) for weight in own}
    optimizer = OPTIMIZERS.build("sgd", groups=[group], lr=0.1)
    for batch in recipe.loader(0):
        before = [weight.clone() for weight in recipe.gallery.parameters()]
        step(recipe, recipe, optimizer, batch)
        assert all(weight.grad is not None and weight.grad.any() for weight in own if weight.ndim > 1)
        for old, slow, trained in zip(before, recipe.gallery.parameters(), own, strict=True):
            torch.testing.assert_close(slow, 0.9 * old + 0.1 * trained)
            assert slow.grad is None and not slow.requires_grad
    assert not recipe.queue.columns.requires_grad
    assert not any(torch.equal(slow, trained) for slow, trained in zip(before, own) if trained.ndim > 1)


def test_the_gallery_drops_nothing_out_and_has_the_statistics_of_its_batch(faces, photographs):
    recipe = made(faces, photographs)
    images = torch.randn(6, 3, SIDE, SIDE)
    assert not torch.equal(recipe.network(images), recipe.network(images))  # dropout
    first = recipe.gallery(images)
    for name, buffer in recipe.gallery.named_buffers():
        if "running" in name:
            buffer.add_(1.0)
    assert torch.equal(recipe.gallery(images), first)
    assert not torch.allclose(recipe.gallery(images[:3]), first[:3], atol=1e-4)
    recipe.eval()
    assert torch.allclose(recipe.gallery(images[:3]), recipe.gallery(images)[:3], atol=1e-5)


@pytest.mark.parametrize("photographs_each", [[1], [2], [1, 2, 3, 5]])
def test_no_person_twice_in_an_epoch_and_none_who_is_in_the_queue(photographs_each):
    labels = np.repeat(np.arange(23), np.resize(photographs_each, 23))
    batch, size = 4, 12
    sampler, queue, seen = WaitingSampler(labels, batch, 2, seed=3, waiting=size), PrototypeQueue(2, size), []
    assert len(sampler) == (23 - size) // batch == 2
    ascending = set()
    for epoch in range(8):
        waiting = set(queue.people.tolist())
        sampler.set_epoch(epoch)
        sampler.leave_out(queue.people.numpy())
        batches = list(sampler)
        assert len(batches) == len(sampler)
        drawn = [labels[draws[place].index] for draws in batches for place in range(0, 2 * batch, 2)]
        assert len(set(drawn)) == len(drawn) == 2 * batch and not set(drawn) & waiting
        for draws in batches:
            for one, other in zip(draws[::2], draws[1::2], strict=True):
                assert labels[one.index] == labels[other.index] and one.key != other.key
                assert (one.index != other.index) == ((labels == labels[one.index]).sum() > 1)
                ascending.add(one.index <= other.index)
            queue.push(torch.ones(batch, 2), torch.tensor([labels[draw.index] for draw in draws[::2]]))
        seen += drawn
    assert set(seen) == set(range(23))
    assert ascending == ({True} if photographs_each == [1] else {True, False})


def test_the_loader_leaves_out_whom_the_queue_holds(faces, photographs):
    recipe = made(faces, photographs)
    for epoch in range(5):
        waiting = set(recipe.queue.people.tolist())
        batches = list(recipe.loader(epoch))
        assert len(batches) == recipe.steps_per_epoch == 2
        for batch in batches:
            assert len(batch["label"]) == recipe.images_per_step and not set(batch["label"].tolist()) & waiting
            recipe.queue.push(torch.randn(BATCH, DIMENSIONS), batch["label"][::2])


def test_batches_are_a_function_of_seed_epoch_and_queue():
    labels = np.repeat(np.arange(20), 2)

    def batches(seed, epoch, left_out):
        sampler = WaitingSampler(labels, 4, 2, seed, waiting=8)
        sampler.set_epoch(epoch)
        sampler.leave_out(np.array(left_out))
        return list(sampler)

    assert batches(1, 2, [3, 4]) == batches(1, 2, [4, 3, NOBODY])
    assert batches(1, 2, [3, 4]) != batches(1, 3, [3, 4])
    assert batches(1, 2, [3, 4]) != batches(1, 2, [5, 4])
    with pytest.raises(InputError, match="fill no batch of 8"):
        WaitingSampler(labels, 8, 2, 0, waiting=13)


@pytest.mark.parametrize(
    "queue, batch, people, expected",
    [(0, 512, 72_778, 16_384), (0, 32, 280, 64), (0, 8, 20, 8), (0, 10, 20, 10), (12, 4, 17, 12)],
)
def test_the_queue_is_as_long_as_suits_the_people(queue, batch, people, expected):
    assert queue_size(queue, batch, people) == expected


HEADS = ["am_softmax", "adacos", "arcface", "mv_softmax", "curricularface", "circle", "npcface", "magface", "arcnegface"]


def test_the_heads_are_those_over_cosines():
    assert [name for name in LOSSES if takes_cosines(name)] == HEADS


@pytest.mark.parametrize("name", HEADS)
def test_a_head_of_given_cosines_is_the_head_with_that_classifier(name):
    torch.manual_seed(0)
    embeddings, labels = 20 * torch.randn(6, DIMENSIONS), torch.tensor([0, 1, 2, 2, 3, 4])
    whole = build_objective([name], DIMENSIONS, 5)
    bare = build_objective([name], 0, 5, ("logits", "labels", "embeddings"))
    assert not list(bare.parameters()) and list(bare.state_dict()) == [key for key in whole.state_dict() if "weights" not in key]
    cosines = whole.losses[name].logits(embeddings)
    for _ in range(2):  # the second time with what they keep
        expected = whole(embeddings=embeddings, labels=labels)
        found = bare(logits=cosines, labels=labels, embeddings=embeddings)
        assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_a_step_moves_a_warm_up_by_one(faces, photographs):
    recipe = made(faces, photographs, terms=[{"name": "arcface", "warmup": 10}])
    recipe(next(iter(recipe.loader(0))))
    assert int(recipe.objective.losses["arcface"].steps) == 1


def test_bfloat16_gives_about_the_same_loss(faces, photographs):
    losses = []
    for precision in ("fp32", "bf16"):
        recipe = made(faces, photographs)
        recipe.precision = precision
        recipe.network.head.dropout.p = 0.0
        [loss] = recipe(next(iter(recipe.loader(0)))).terms.values()
        assert loss.dtype == torch.float32 and recipe.queue.columns.dtype == torch.float32
        losses.append(loss.item())
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.1)


@pytest.mark.parametrize(
    "stage, given, message",
    [
        ({"num_instances": 3}, {}, "train.num_instances is 3, .* should be 2"),
        ({}, {"queue": 5}, "train.recipe.queue is 5; it should be a multiple of train.batch_size = 2, at most 6"),
        ({}, {"queue": 8}, "train.recipe.queue is 8, and 8 people train; .* at most 6"),
        ({"batch_size": 5}, {"queue": 0}, "8 people train, .* two batches of train.batch_size = 5"),
        ({"terms": ["am_softmax", "triplet"]}, {}, "train.terms has triplet; it should be of: am_softmax, adacos, arcface"),
        ({"terms": ["softmax"]}, {}, "train.terms has softmax;"),
        ({"terms": ["adam_softmax"]}, {}, "train.terms has adam_softmax;"),
        ({"terms": ["nothing"]}, {}, "unknown loss term 'nothing'"),
        ({"terms": [{"name": "arcface", "margin": 3.0}]}, {}, "option margin is 3.0"),
        ({"augment": [{"name": "crop", "side": 16}]}, {}, "train.augment crops images to 16 pixels"),
        ({}, {"whiten": 1}, "no two show one person"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_before_the_first_photograph(faces, photographs, stage, given, message):
    recipe = RECIPE | given
    with pytest.raises(InputError, match=message) as checked:
        check_settings(make_config(settings(**stage, recipe=recipe)), faces, "train")
    with pytest.raises(InputError) as raised:
        made(faces, photographs, given, **stage)
    assert str(checked.value) == str(raised.value)


def test_a_batch_that_cannot_be_shared_is_one_sentence(faces, monkeypatch):
    monkeypatch.setattr(processes, "_world_size", 2)
    with pytest.raises(InputError, match="train.batch_size is 3 people, which 2 processes cannot share evenly"):
        check_settings(make_config(settings(batch_size=3, recipe="semi_siamese")), faces, "train")


def test_the_head_is_am_softmax_unless_another_is_named(faces, photographs):
    head = made(faces, photographs, terms=[]).objective.losses["am_softmax"]
    assert (head.scale, head.margin) == (32.0, 0.35)


# The draw of a few photographs


def numbered(people: dict[str | None, int]) -> Manifest:
    rows = [(f"{person}/{number}.png", person) for person, count in people.items() for number in range(count)]
    return Manifest.of_columns([name for name, _ in rows], [person for _, person in rows], {}, Path("."))


def test_a_draw_of_a_few_depends_on_the_person_alone():
    everybody = numbered({"a": 9, "b": 2, "c": 1, None: 3, "d": 30})
    few = few_of_each(everybody, 2, seed=0)
    assert few.table["face_id"].value_counts().to_dict() == {"a": 2, "b": 2, "c": 1, "d": 2}
    assert few.table["face_id"].isna().sum() == 3
    assert few.file_names == [name for name in everybody.file_names if name in few.file_names]  # in their order
    assert few.table.equals(few_of_each(everybody, 2, seed=0).table)
    alone = few_of_each(numbered({"d": 30}), 2, seed=0).file_names
    assert alone == [name for name in few.file_names if name.startswith("d")]
    backwards = everybody.where(np.arange(len(everybody)) >= 0)
    backwards = Manifest(backwards.table[::-1].reset_index(drop=True), backwards.root)
    assert sorted(few_of_each(backwards, 2, seed=0).file_names) == sorted(few.file_names)
    draws = {tuple(few_of_each(numbered({"d": 30}), 2, seed).file_names) for seed in range(5)}
    assert len(draws) > 1


def test_the_training_people_alone_have_few(people):
    plain = open_reader(DataConfig(reader={"name": "folder"}, root=str(people)))
    few = open_reader(DataConfig(reader={"name": "folder"}, root=str(people), most_per_person=2))
    assert few.faces("train").identities == plain.faces("train").identities
    assert set(few.faces("train").table["face_id"].value_counts()) == {2}
    for split in ("validate", "test"):
        assert few.faces(split).table.equals(plain.faces(split).table)
        assert few.pairs(split).table.equals(plain.pairs(split).table)


# Whole runs


def configured(people: Path, results: Path, resume: bool = False, **stage: Any) -> Config:
    return read_config([], settings(people, results, **stage) | {"resume": resume})


def log(results: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in (results / "train/logs/pairs.jsonl").read_text().splitlines()]


def test_a_run_ships_the_probe_alone_and_resumes_to_the_same_bytes(people, tmp_path, monkeypatch):
    """With whitening, an average of the weights and a head that remembers."""
    stage = {"epochs": 4, "ema": 0.9, "terms": ["curricularface"], "recipe": RECIPE | {"whiten": 10}}
    weights = train.train(configured(people, tmp_path / "whole", **stage))
    content = load_weights(weights, ("embedder",))
    config = configured(people, tmp_path / "whole", **stage)
    shape = embedder_shapes(config.model)
    assert {name: value.shape for name, value in content["state"].items()} == {
        name: value.shape for name, value in shape.state_dict().items()
    }
    assert sum(content["state"][name].numel() for name, _ in shape.named_parameters()) == parameter_count(shape)
    unwhitened = load_weights(weights.with_name("pairs.classifier.pt"), ("classifier",))
    assert set(unwhitened["state"]) == {f"network.{name}" for name in content["state"]}
    rows = log(tmp_path / "whole")
    assert [set(row) >= {"curricularface", "embedding_norm", "accuracy"} for row in rows] == [True] * 4

    start = SemiSiamese.on_epoch_start

    def stopped(self, epoch):
        if epoch == 2:
            raise RuntimeError("power cut")
        start(self, epoch)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(SemiSiamese, "on_epoch_start", stopped)
        train.train(configured(people, tmp_path / "broken", **stage))
    resumed = train.train(configured(people, tmp_path / "broken", resume=True, **stage))
    assert resumed.read_bytes() == weights.read_bytes()


def test_conventional_training_learns_from_the_same_few(people, tmp_path):
    weights = train.train(configured(people, tmp_path, recipe="metric", epochs=1))
    assert trained_on(load_weights(weights, ("embedder",)))["most_per_person"] == 2


MIXING = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
import torch
import train
from common.errors import run_script
from distributed.processes import local_rows
from recipes.semi_siamese import SemiSiamese

start = SemiSiamese.on_epoch_start

def centred(share):
    return (share - share.mean(dim=0)).flatten(1)  # what a BatchNorm of the share alone does, in short

def check(self, epoch):
    start(self, epoch)
    if epoch:
        return
    images = torch.arange(8.0).square()[:, None, None, None].expand(8, 2, 3, 4).contiguous()
    order = torch.from_numpy(self.random.permutation(8))
    expected = torch.empty(8, 24)
    for half in order.split(4):
        expected[half] = centred(images[half])
    start(self, epoch)
    gallery, self.gallery, self.mixes_shares = self.gallery, torch.nn.Module(), True
    self.gallery.forward = centred
    found = self._prototypes(images[local_rows(8)])
    self.gallery, self.mixes_shares = gallery, False
    assert torch.equal(found, expected), (found, expected)
    start(self, epoch)

SemiSiamese.on_epoch_start = check
sys.argv[0] = "train.py"
run_script(train.main)
"""


def test_two_processes_learn_what_one_learns_and_mix_the_gallery(people, tmp_path):
    """To 1e-4 of the largest weight, after 12 steps without dropout; and images that are embedded share by share come back to
    their places, each embedded among those that the permutation put beside it."""
    stage = {"epochs": 6, "validate_every": 6, "optimizer": "adam", "lr": 0.001}
    values = settings(people, tmp_path / "one", **stage)
    values["model"]["head"] = {"name": "pool", "dropout": 0.0}
    one = load_weights(train.train(read_config([], values)), ("embedder",))["state"]
    script, file = tmp_path / "mixing.py", tmp_path / "settings.yaml"
    script.write_text(MIXING.format(root=str(ROOT)))
    file.write_text(json.dumps(values | {"results": str(tmp_path / "two")}))
    ends = run_two(str(script), ["--config", str(file)], tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    two = load_weights(tmp_path / "two/train/weights/pairs.pt", ("embedder",))["state"]
    assert list(one) == list(two)
    for name, value in one.items():
        assert torch.allclose(two[name], value, rtol=0, atol=1e-4 * float(value.abs().max())), name
    logs = [log(tmp_path / run) for run in ("one", "two")]
    for row, other in zip(*logs, strict=True):
        assert other["am_softmax"] == pytest.approx(row["am_softmax"], abs=1e-3)
