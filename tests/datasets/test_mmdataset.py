"""Items and batches of a data set made of four parts."""

import random
import subprocess
import sys

import pytest
import torch

from mmpt import MMDataset
from mmpt.errors import ConfigError, DataError


class Meta:
    def __init__(self, split="train", ids=("a", "b", "c")):
        self.split = split
        self.ids = ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return self.ids[index], f"text of {index}"


def aligner(video_id, video, text):
    return {"x": torch.tensor([video]), "video_id": video_id, "text": text, "draw": random.random()}


def dataset(meta=None, video=len, text=str, align=aligner):
    return MMDataset(meta or Meta(), video, text, align)


def test_an_item_passes_through_the_four_parts():
    data = dataset()
    assert (len(data), data.split) == (3, "train")
    item = data[1]
    item.pop("draw")
    assert item == {"x": torch.tensor([1]), "video_id": "b", "text": "text of 1", "idx": 1}
    assert [item["idx"] for item in data] == [0, 1, 2]
    with pytest.raises(IndexError):
        data[3]


def test_a_test_split_is_seeded_with_the_index():
    data = dataset(Meta("test"))
    draws = [data[i]["draw"] for i in (0, 1, 2, 1)]
    assert draws == [random.Random(i).random() for i in (0, 1, 2, 1)]


def test_other_splits_go_on_drawing():
    data = dataset()
    random.seed(0)
    expected = [random.random(), random.random()]
    random.seed(0)
    assert [data[1]["draw"], data[1]["draw"]] == expected


def fails(error):
    def part(*args):
        raise error

    return part


@pytest.mark.parametrize("error", [DataError, ConfigError])
def test_errors_of_an_item_name_the_video(error):
    for part in ("video", "text", "align"):
        with pytest.raises(error, match=r"^train item 2 \(video c\): no good$"):
            dataset(**{part: fails(error("no good"))})[2]


def test_unexpected_errors_name_the_video_and_keep_their_cause():
    with pytest.raises(RuntimeError, match=r"^train item 0 \(video a\): KeyError: 'x'$") as caught:
        dataset(video=fails(KeyError("x")))[0]
    assert isinstance(caught.value.__cause__, KeyError)


def test_ids_of_any_form_are_named_shortly():
    ids = (("v1", 3, 0, 1), [(f"v{i}", -1, 0, i) for i in range(5)])
    data = dataset(Meta("valid", ids), video=fails(DataError("bad")))
    with pytest.raises(DataError, match=r"valid item 0 \(video v1\): bad"):
        data[0]
    with pytest.raises(DataError, match=r"valid item 1 \(video v0, v1, v2, …\): bad"):
        data[1]


def test_collater():
    samples = [
        {
            "x": torch.full((2,), i),
            "idx": i,
            "length": i / 2,
            "flag": i == 1,
            "nothing": None,
            "video_id": f"v{i}",
            "many": ["a", f"b{i}"],
            "clip": ("v", i, i + 1),
        }
        for i in range(2)
    ]
    batch = dataset().collater(samples)
    assert batch["x"].tolist() == [[0, 0], [1, 1]]
    assert batch["idx"].tolist() == [0, 1]
    assert batch["length"].tolist() == [0.0, 0.5]
    assert batch["flag"].tolist() == [False, True]
    assert batch["video_id"] == ["v0", "v1"]
    assert batch["many"] == [["a", "b0"], ["a", "b1"]]
    assert batch["clip"] == [("v", 0, 1), ("v", 1, 2)]
    assert "nothing" not in batch
    assert dataset().collater([]) == {}
    assert dataset().collater(samples[:1])["x"].shape == (1, 2)


def test_collater_names_the_key_that_does_not_stack():
    samples = [{"x": torch.zeros(2)}, {"x": torch.zeros(3)}]
    with pytest.raises(DataError, match=r"shape of x: \[\(2,\), \(3,\)\]; use batch size 1"):
        dataset().collater(samples)


def test_the_data_set_needs_no_fairseq_and_no_transformers():
    code = (
        "import sys, mmpt, mmpt.datasets, mmpt.processors\n"
        "assert mmpt.MMDataset is mmpt.datasets.MMDataset\n"
        "assert not {'fairseq', 'transformers', 'faiss'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
