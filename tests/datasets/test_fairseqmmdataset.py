"""fairseq's view: items that repeat whatever the number of workers."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmpt.datasets.fairseqmmdataset import FairseqMMDataset
from mmpt.errors import DataError
from mmpt.utils.seeds import set_seed


def batches(data, workers, epoch=1):
    data.set_epoch(epoch)
    loader = DataLoader(data, batch_size=1, num_workers=workers, collate_fn=data.collater)
    return list(loader)


def assert_same(left, right):
    assert len(left) == len(right) > 0
    for one, other in zip(left, right, strict=True):
        assert list(one) == list(other)
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[key]), key
            else:
                assert value == other[key], key


def bounds(found):
    keys = ("text_start", "text_end", "video_start", "video_end")
    return torch.stack([batch[key] for batch in found for key in keys])


def test_a_run_repeats_with_any_number_of_workers(how2):
    expected = batches(FairseqMMDataset(how2(), seed=5), 0)
    random.seed(99)
    np.random.seed(99)
    assert_same(batches(FairseqMMDataset(how2(), seed=5), 2), expected)
    # the order in which items are asked for does not matter either
    data = FairseqMMDataset(how2(), seed=5)
    backwards = [data.collater([data[i]]) for i in reversed(range(len(data)))]
    assert_same(backwards[::-1], expected)


def test_items_of_one_epoch_differ_from_those_of_another(how2):
    data = FairseqMMDataset(how2(), seed=5)
    first, second = batches(data, 0, epoch=1), batches(data, 0, epoch=2)
    assert not torch.equal(bounds(first), bounds(second))
    assert_same(batches(data, 0, epoch=1), first)
    other_seed = batches(FairseqMMDataset(how2(), seed=6), 0, epoch=1)
    assert not torch.equal(bounds(other_seed), bounds(first))


def test_only_validation_reuses_its_iterator(how2):
    """fairseq asks for validation with epoch 1 throughout, so its clips stay the same."""
    assert FairseqMMDataset(how2("valid")).can_reuse_epoch_itr_across_epochs is True
    assert FairseqMMDataset(how2()).can_reuse_epoch_itr_across_epochs is False


def test_the_generators_of_the_caller_are_left_alone(how2):
    data = FairseqMMDataset(how2(), seed=5)
    set_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(2).tolist()
    set_seed(1)
    data[0]
    assert (random.random(), np.random.rand(), torch.rand(2).tolist()) == expected


def test_an_error_leaves_them_alone_too(how2):
    data = FairseqMMDataset(how2(), seed=5)
    set_seed(1)
    expected = random.random()
    set_seed(1)
    with pytest.raises(IndexError):
        data[99]
    assert random.random() == expected


def test_what_fairseq_asks_for(how2):
    data = FairseqMMDataset(how2(), seed=5)
    indices = data.ordered_indices()
    assert indices.tolist() == list(range(8))
    assert [data.size(3), data.num_tokens(3)] == [1, 1]
    # batches of 3 items out of 8: none is lost
    cut = data.batch_by_size(indices, max_sentences=3, required_batch_size_multiple=1)
    assert [list(map(int, batch)) for batch in cut] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_a_batch_is_one_item_with_a_leading_axis(how2):
    data = FairseqMMDataset(how2(), seed=5)
    batch = batches(data, 0)[3]
    assert batch["vfeats"].shape == (1, 2, 8, 16, 512)
    assert batch["caps"].shape == (1, 2, 8, 32)
    assert batch["idx"].tolist() == [3]
    assert batch["video_id"] == [["trainVid_006-x", "trainVid_007-x"]]


def test_regrouped_videos_reach_new_workers(how2):
    data = FairseqMMDataset(how2(), seed=5)
    meta = data.mmdataset.meta_processor
    seen = []
    for epoch in (1, 2):
        meta.random_candidates(seed=5, epoch=epoch)
        seen.append([batch["video_id"][0] for batch in batches(data, 2, epoch)])
        assert seen[-1] == meta.cands
    assert seen[0] != seen[1]


class TestWholeRounds:
    """Where processes contrast each other's batches, none may be left without one."""

    def batches(self, epoch, processes, count=11, whole_rounds=True):
        data = FairseqMMDataset(range(count), seed=4, whole_rounds=whole_rounds)
        data.set_epoch(epoch)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mmpt.datasets.fairseqmmdataset.get_world_size", lambda: processes)
            return [
                list(batch)
                for batch in data.batch_by_size(
                    data.ordered_indices(), max_sentences=2, required_batch_size_multiple=1
                )
            ]

    def test_batches_that_do_not_fill_a_round_are_left_out(self):
        assert len(self.batches(1, 4, whole_rounds=False)) == 6
        assert len(self.batches(1, 3)) == 6
        kept = self.batches(1, 4)
        assert len(kept) == 4 and all(batch in self.batches(1, 1) for batch in kept)

    def test_every_epoch_leaves_out_others(self):
        assert self.batches(1, 4) == self.batches(1, 4)
        seen = {tuple(batch) for epoch in range(1, 20) for batch in self.batches(epoch, 4)}
        assert len(seen) == 6

    def test_fewer_batches_than_processes(self):
        with pytest.raises(DataError, match="6 batches an epoch for 8 processes, which contrast"):
            self.batches(1, 8)
