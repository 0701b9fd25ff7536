"""Properties of the samplers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from datasets.batches.samplers import PKSampler, ShuffledSampler

label_lists = st.lists(st.integers(0, 9), min_size=1, max_size=80)


@settings(max_examples=60, deadline=None)
@given(label_lists, st.integers(1, 4), st.integers(1, 6), st.integers(0, 99), st.integers(0, 5))
def test_every_batch_is_p_identities_times_k_images(labels, identities, images, seed, epoch):
    labels = np.array(labels)
    if len(set(labels)) < identities:
        with pytest.raises(InputError, match="a batch needs .* identities"):
            PKSampler(labels, identities, images, seed)
        return
    sampler = PKSampler(labels, identities, images, seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == len(set(labels)) // identities
    seen = Counter()
    for batch in batches:
        of_identity = Counter(labels[draw.index] for draw in batch)
        assert len(of_identity) == identities and set(of_identity.values()) == {images}
        seen.update(of_identity.keys())
        for label in of_identity:
            times = Counter(draw.index for draw in batch if labels[draw.index] == label)
            available = (labels == label).sum()
            assert len(times) == min(images, available)  # repeats only where an identity has too few
            assert max(times.values()) - min(times.values()) <= 1
    assert not seen or max(seen.values()) == 1


def test_steps_go_through_all_identities_in_rounds():
    def build(steps):
        return PKSampler(np.repeat(np.arange(7), 4), 3, 2, seed=1, steps=steps)

    batches = [{draw.index // 4 for draw in batch} for batch in build(5)]
    assert len(build(5)) == len(batches) == 5 and all(len(batch) == 3 for batch in batches)
    assert not batches[0] & batches[1] and not batches[2] & batches[3]  # nobody twice in a round of 7 // 3 batches
    assert [list(batch) for batch in build(2)] == [list(batch) for batch in build(0)]  # one round is the usual epoch


def test_steps_go_through_all_photographs_in_rounds():
    batches = [[draw.index for draw in batch] for batch in ShuffledSampler(10, 4, seed=1, steps=5)]
    assert [len(batch) for batch in batches] == [4] * 5
    assert len({*batches[0], *batches[1]}) == len({*batches[2], *batches[3]}) == 8
    assert batches[:2] == [[draw.index for draw in batch] for batch in ShuffledSampler(10, 4, seed=1)]


def orders(sampler, epoch):
    sampler.set_epoch(epoch)
    return [draw for batch in sampler for draw in batch]


def test_order_is_a_pure_function_of_seed_and_epoch():
    labels = np.repeat(np.arange(12), 5)
    first, second = PKSampler(labels, 3, 4, seed=1), PKSampler(labels, 3, 4, seed=1)
    orders(first, 0), orders(first, 1)  # history must not matter
    assert orders(first, 2) == orders(second, 2)
    assert orders(first, 2) != orders(first, 3)
    assert orders(first, 2) != orders(PKSampler(labels, 3, 4, seed=2), 2)


def test_keys_never_repeat_within_or_between_epochs():
    sampler = PKSampler(np.repeat(np.arange(12), 5), 3, 8, seed=1)
    keys = [draw.key for epoch in range(3) for draw in orders(sampler, epoch)]
    assert len(set(keys)) == len(keys)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=60), st.integers(1, 6), st.integers(0, 9))
def test_conditions_take_turns(faces, images, epoch):
    labels, conditions = np.array(faces).T
    sampler = PKSampler(labels, 1, images, 0, conditions)
    sampler.set_epoch(epoch)
    for batch in sampler:
        of_identity = Counter(conditions[labels == labels[batch[0].index]])
        drawn = Counter(conditions[draw.index] for draw in batch)
        if images > sum(of_identity.values()):
            continue
        scarce = [condition for condition in of_identity if drawn[condition] == of_identity[condition]]
        others = [drawn[condition] for condition in of_identity if condition not in scarce]
        assert not others or max(others) - min(others) <= 1
        assert all(drawn[condition] <= max(others, default=images) + 1 for condition in scarce)


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 9))
def test_shuffled_sampler_gives_each_photograph_at_most_once(size, batch_size, epoch):
    sampler = ShuffledSampler(size, batch_size, seed=5)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    indices = [draw.index for batch in batches for draw in batch]
    assert len(set(indices)) == len(indices) and len(batches) == len(sampler) >= 1
    assert size - len(indices) < min(batch_size, size)
