"""Pretraining batches the plain way: what bench_loader.py measures the loader against.

Obvious code with nothing kept between calls: the shards are opened for every video, captions are
lists of ints, every clip becomes its own tensors, and tensors are stacked into the batch.  The
random draws are those of mmpt.processors.sampling.
"""

import math
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmpt.utils.bert import load_tokenizer


class PlainBatches:
    """Item i is the batch of group i.

    Args:
        config: a `dataset` section, as the processors take it.
        groups: the videos of each batch, (id, -1, number of the shard, position in the shard).
    """

    def __init__(self, config: dict[str, Any], groups: list[list[tuple]]):
        self.config = config
        self.groups = groups
        tokenizer = load_tokenizer(config["bert_name"])
        self.special = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> dict[str, Any]:
        videos = []
        for _, _, shard, position in self.groups[index]:
            features = self._read(f"{self.config['vfeat_dir']}/train_{shard}", position)
            text = f"{self.config['tfeat_dir']}train_{shard}"
            times = self._read(f"{text}.startends", position)
            padded = self._read(f"{text}.caps_ids", position)
            captions = [row[row != -1].tolist() for row in padded]
            videos.append(self._video(features, times[:, 0], times[:, 1], captions))
        batch = {key: torch.stack([video[key] for video in videos]) for key in videos[0]}
        return {**batch, "video_id": [entry[0] for entry in self.groups[index]], "idx": index}

    def collater(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Items with a leading axis."""
        batch = {}
        for key, value in items[0].items():
            values = [item[key] for item in items]
            if torch.is_tensor(value):
                batch[key] = torch.stack(values)
            else:
                batch[key] = torch.tensor(values) if isinstance(value, int) else values
        return batch

    def _read(self, prefix: str, position: int) -> np.ndarray:
        starts = np.load(f"{prefix}_starts.npy")
        data = np.load(f"{prefix}_data.npy", mmap_mode="r")
        return data[starts[position] : starts[position + 1]]

    def _video(
        self, features: np.ndarray, starts: np.ndarray, ends: np.ndarray, captions: list[list[int]]
    ) -> dict[str, Tensor]:
        spans = [
            self._draw(len(features), starts, ends, captions)
            for _ in range(self.config["clip_per_video"])
        ]
        spans.sort(key=lambda span: (span[0], span[2], span[1], span[3]))
        clips = []
        for text_start, text_end, video_start, video_end in spans:
            tokens = [token for caption in captions[text_start:text_end] for token in caption]
            caps, cmasks = self._text(tokens)
            vfeats, vmasks = self._frames(features[video_start:video_end])
            clips.append(
                {
                    "caps": caps,
                    "cmasks": cmasks,
                    "vfeats": vfeats,
                    "vmasks": vmasks,
                    "video_start": torch.tensor(video_start),
                    "video_end": torch.tensor(video_end),
                    "text_start": torch.tensor(text_start),
                    "text_end": torch.tensor(text_end),
                }
            )
        return {key: torch.stack([clip[key] for clip in clips]) for key in clips[0]}

    def _draw(
        self, seconds: int, starts: np.ndarray, ends: np.ndarray, captions: list[list[int]]
    ) -> tuple[int, int, int, int]:
        config = self.config
        first = random.randint(0, len(captions) - 1)
        stop = first + 1
        limit = random.randint(config["sampled_min_len"], config["sampled_max_len"])
        tokens, span = len(captions[first]), ends[first] - starts[first]
        while (first > 0 or stop < len(captions)) and tokens < limit and span < 256:
            forward = random.random() > 0.5
            random.random()  # the draw that skips captions where keep_prob is below 1
            if (forward and stop < len(captions)) or first == 0:
                tokens += len(captions[stop])
                stop += 1
            else:
                first -= 1
                tokens += len(captions[first])
            span = max(0, ends[stop - 1] - starts[first])
        low, high = math.floor(starts[first]), math.ceil(ends[stop - 1])
        centre = random.randint(low, high) if low < high else (low + high) // 2
        centre = min(max(centre, 0), seconds - 1)
        limit = random.randint(config["sampled_video_min_len"], config["sampled_video_max_len"])
        begin = end = centre
        while end - begin < limit and (begin > 0 or end < seconds):
            if begin == 0:
                end += 1
            elif end == seconds or random.random() <= 0.5:
                begin -= 1
            else:
                end += 1
        return first, stop, begin, end

    def _text(self, tokens: list[int]) -> tuple[Tensor, Tensor]:
        cls_id, sep_id, pad_id = self.special
        length = self.config["max_len"] - self.config["max_video_len"]
        caps = [cls_id, sep_id, *tokens[: length - 3], sep_id]
        mask = [True] * len(caps) + [False] * (length - len(caps))
        return torch.tensor(caps + [pad_id] * (length - len(caps))), torch.tensor(mask)

    def _frames(self, clip: np.ndarray) -> tuple[Tensor, Tensor]:
        length = self.config["max_video_len"]
        vfeats = np.zeros((length, clip.shape[1]), dtype=np.float32)
        vfeats[: len(clip)] = clip[:length]
        vmasks = np.arange(length) < len(clip)
        return torch.from_numpy(vfeats), torch.from_numpy(vmasks)
