"""Splits share nobody; drawn pairs are distinct, right, balanced and even."""

import itertools
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from datasets.manifest import Face, Manifest
from datasets.pairs.draw import draw_pairs, random_stream
from datasets.pairs.split import SplitReader, split_identities

ROOT = Path(__file__).parents[1]


def make_manifest(people: int, images: int, angles: list[str | None]) -> Manifest:
    faces = []
    for person, image in itertools.product(range(people), range(images)):
        angle = angles[image % len(angles)] if angles else None
        faces.append(Face(f"p{person}/{image}.jpg", f"p{person}", {"angle": angle} if angle else {}))
    return Manifest.of(faces, Path("."))


def draw(manifest: Manifest, count: int, seed: int = 0, **options):
    return draw_pairs(manifest, count, random_stream(seed, "test"), **options)


def oracle(manifest: Manifest) -> dict[frozenset, bool]:
    """Every pair of photographs with a known identity and whether it shows one person."""
    known = manifest.table.dropna(subset=["face_id"])
    rows = list(zip(known["file_name"], known["face_id"]))
    return {frozenset((one, other)): a == b for (one, a), (other, b) in itertools.combinations(rows, 2)}


@given(
    faces=st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.sampled_from(["C1", "C7", None])), max_size=14),
    count=st.integers(2, 60),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_drawn_pairs_are_a_balanced_subset_of_all_pairs(faces, count, seed):
    manifest = Manifest.of(
        [Face(f"{i}.jpg", person, {"angle": angle} if angle else {}) for i, (person, angle) in enumerate(faces)], Path(".")
    )
    every = oracle(manifest)
    half = min(count // 2, sum(every.values()), len(every) - sum(every.values()))
    if half == 0:
        with pytest.raises(InputError, match="of the same and .* of different people"):
            draw(manifest, count, seed)
        return
    pairs = draw(manifest, count, seed)
    drawn = [frozenset(names) for names in zip(pairs.table["first"], pairs.table["second"])]
    assert len(set(drawn)) == len(drawn) == 2 * half
    assert [every[pair] for pair in drawn] == pairs.same.tolist()
    assert pairs.same.sum() == half


def test_every_pair_can_be_drawn():
    manifest = make_manifest(people=3, images=4, angles=["C1", "C7", None])
    every = oracle(manifest)
    seen = set()
    for seed in range(60):
        pairs = draw(manifest, 30, seed)
        seen |= {frozenset(names) for names in zip(pairs.table["first"], pairs.table["second"])}
    assert seen == set(every)


def test_combinations_of_angles_and_people_are_covered_evenly():
    manifest = make_manifest(people=5, images=16, angles=["C1", "C7", "C13", None])
    pairs = draw(manifest, 400)
    angle = dict(zip(manifest.table["file_name"], manifest.table["angle"].fillna("none")))
    for same in (True, False):
        rows = pairs.table[pairs.same == same]
        combinations = Counter(tuple(sorted((angle[a], angle[b]))) for a, b in zip(rows["first"], rows["second"]))
        assert sorted(combinations.values()) == [20] * 10  # 4 values, 10 unordered combinations
    people = Counter(name.split("/")[0] for name in pairs.table["first"][pairs.same])
    assert max(people.values()) - min(people.values()) <= 10


def test_a_person_with_many_photographs_does_not_take_over_the_same_pairs():
    faces = [Face(f"big/{i}.jpg", "big", {}) for i in range(300)]
    faces += [Face(f"p{person}/{i}.jpg", f"p{person}", {}) for person in range(9) for i in range(5)]
    pairs = draw(Manifest.of(faces, Path(".")), 100)
    assert sum(name.startswith("big/") for name in pairs.table["first"][pairs.same]) == 5


def test_order_tells_nothing_about_the_answer():
    pairs = draw(make_manifest(people=10, images=20, angles=[]), 1000)
    assert 350 < pairs.same[1:][pairs.same[:-1]].sum() * 2 < 650
    first, second = pairs.table["first"][~pairs.same], pairs.table["second"][~pairs.same]
    assert 150 < (first < second).sum() < 350


def test_a_million_photographs_take_seconds():
    rows = 1_000_000
    random = np.random.default_rng(0)
    columns = {"file_name": [str(row) for row in range(rows)], "face_id": random.integers(0, 3000, rows).astype(str)}
    manifest = Manifest(pd.DataFrame(columns, dtype=object), Path("."))
    start = time.perf_counter()
    assert len(draw(manifest, 20_000)) == 20_000
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize("count", [0, 1, 10**7 + 1, 10**18])
def test_fewer_than_two_pairs_or_more_than_memory_holds_are_refused(count):
    with pytest.raises(InputError, match=f"pairs is {count:,}; it should be 2 or more"):
        draw(make_manifest(4, 4, []), count)


@given(people=st.integers(0, 60), validate=st.floats(0, 0.6), test=st.floats(0, 0.6), seed=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_splits_share_nobody_and_leave_nobody_out(people, validate, test, seed):
    names = [f"p{number}" for number in range(people)]
    try:
        split = split_identities(names, {"test": test, "validate": validate}, seed)
    except InputError as error:
        assert str(people) in str(error)
        return
    dealt = [name for part in split.values() for name in part]
    assert sorted(dealt) == sorted(names)
    assert len(split["train"]) >= 2
    for part, share in (("validate", validate), ("test", test)):
        assert len(split[part]) == (max(2, round(share * people)) if share else 0)


def test_the_split_is_the_same_in_every_process():
    code = (
        "from datasets.pairs.split import split_identities;"
        "print(split_identities({f'p{n}' for n in range(20)}, {'test': .2, 'validate': .2}, 3))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    )
    here = split_identities([f"p{n}" for n in reversed(range(20))], {"test": 0.2, "validate": 0.2}, 3)
    assert other.stdout == f"{here}\n"
    assert here != split_identities([f"p{n}" for n in range(20)], {"test": 0.2, "validate": 0.2}, 4)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(InputError, match="validate_share is"):
        split_identities(["a", "b", "c", "d"], {"validate": share}, 0)


def test_too_few_people_are_refused_with_numbers():
    with pytest.raises(InputError, match="5 people cannot be split with shares test 0.2, validate 0.2: 1 would be left"):
        split_identities("abcde", {"test": 0.2, "validate": 0.2}, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed is -1"):
        split_identities("abcdefgh", {"test": 0.2, "validate": 0.2}, -1)


def test_split_reader():
    reader = SplitReader(make_manifest(10, 4, ["C1", "C7"]), 0.2, 0.3, pairs=20, split_seed=1)
    faces = {split: reader.faces(split) for split in ("train", "validate", "test")}
    assert {split: len(part.identities) for split, part in faces.items()} == {"train": 5, "validate": 2, "test": 3}
    for split in ("validate", "test"):
        pairs = reader.pairs(split)
        assert set(pairs.file_names) <= set(faces[split].file_names)
        pd.testing.assert_frame_equal(pairs.table, reader.pairs(split).table)
    with pytest.raises(InputError, match="no split 'exam'; there are: train, validate, test"):
        reader.faces("exam")
    with pytest.raises(InputError, match="test_share is 0"):
        SplitReader(make_manifest(10, 4, []), 0.2, 0.0, pairs=20, split_seed=1).pairs("test")


def test_people_with_one_photograph_are_counted():
    manifest = make_manifest(10, 2, [])
    manifest = manifest.where(~manifest.table["file_name"].isin(["p3/0.jpg", "p7/1.jpg"]).to_numpy())
    with pytest.raises(InputError, match="2 of 10 people have only one photograph.*p3, p7"):
        SplitReader(manifest, 0.2, 0.2, pairs=20, split_seed=1)
