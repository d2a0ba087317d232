"""The planted structure is where truth.json says, at the rates asked for."""

import json
import re
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from mmpt.demo import CorpusSettings, words
from mmpt.demo.footage import SKIPPED_STEPS
from mmpt.demo.sets.how2 import plan_how2
from mmpt.demo.world import build_world
from mmpt.utils.shardedtensor import ShardedTensor


def videos_of(truth):
    return [(split, *entry) for split in ("train", "val") for entry in truth["how2"][split].items()]


def step_words(step):
    return {step["verb"], step["object"]}


def spoken(text):
    return set(re.findall("[a-z]+", text.lower()))


def test_truth_lists_the_captions_as_written(corpus, truth):
    written = json.loads((corpus / "how2/sentencified_htm_1200k.json").read_text())
    for _, video_id, video in videos_of(truth):
        for name in ("start", "end", "text"):
            assert [said[name] for said in video["captions"]] == written[video_id][name]


def test_segments_cover_the_video(truth):
    for _, _, video in videos_of(truth):
        borders = [(start, end) for start, end, _ in video["segments"]]
        assert borders[0][0] == 0
        assert borders[-1][1] == video["seconds"]
        assert all(a[1] == b[0] for a, b in pairwise(borders))
        shown = [step for _, _, step in video["segments"] if step >= 0]
        planned = truth["tasks"][video["task"]]["steps"]
        assert shown == [step for step in planned if step in shown], "steps out of the task's order"


def test_captions_say_what_their_kind_means(truth):
    steps = truth["steps"]
    seen = Counter()
    for _, _, video in videos_of(truth):
        shown = {step for _, _, step in video["segments"] if step >= 0}
        for said in video["captions"]:
            seen[said["kind"]] += 1
            assert 0 <= said["start"] < said["end"] <= video["seconds"]
            if said["kind"] == "irrelevant":
                assert said["step"] == -1
                for step in shown:
                    assert not step_words(steps[step]) <= spoken(said["text"])
                continue
            assert step_words(steps[said["step"]]) <= spoken(said["text"])
            home = [part for part in video["segments"] if part[2] == said["step"]]
            assert any(a <= said["true_start"] < said["true_end"] <= b for a, b, _ in home)
            moved = abs(said["start"] - said["true_start"])
            if said["kind"] == "aligned":
                assert moved == 0
                assert said["end"] == said["true_end"]
            else:
                assert 0 < moved <= 12.01
                length = said["end"] - said["start"]
                assert length == pytest.approx(said["true_end"] - said["true_start"], abs=0.02)
    assert min(seen[kind] for kind in ("aligned", "shifted", "irrelevant")) > 20


@pytest.mark.parametrize(
    ("shift_noise", "irrelevant"),
    [(0.2, 0.15), (0.5, 0.4), (0.0, 0.0), (1.0, 0.0), (0.0, 0.9), (0.8, 0.8)],
)
def test_noise_comes_at_the_rates_asked_for(shift_noise, irrelevant):
    settings = CorpusSettings(videos=200, seed=8, shift_noise=shift_noise, irrelevant=irrelevant)
    kinds = kinds_of(settings)
    about_steps = kinds["aligned"] + kinds["shifted"]
    assert about_steps > 1000
    # three standard deviations of a share over that many captions
    tolerance = 3 * np.sqrt(shift_noise * (1 - shift_noise) / about_steps)
    assert kinds["shifted"] / about_steps == pytest.approx(shift_noise, abs=tolerance)
    assert kinds["irrelevant"] / kinds.total() == pytest.approx(irrelevant, abs=0.01)


def kinds_of(settings):
    planned = plan_how2(build_world(settings), settings).truth["train"]
    return Counter(said["kind"] for video in planned.values() for said in video["captions"])


@pytest.mark.parametrize("silent", [0.0, 0.4])
def test_silent_steps_come_at_the_rate_asked_for(silent):
    settings = CorpusSettings(videos=200, seed=8, silent=silent)
    shown = heard = 0
    for video in plan_how2(build_world(settings), settings).truth["train"].values():
        steps = [step for _, _, step in video["segments"] if step >= 0]
        shown += len(steps)
        heard += len({said["step"] for said in video["captions"]} - {-1})
    assert 1 - heard / shown == pytest.approx(silent, abs=0.04 if silent else 0)


def test_background_takes_its_share():
    settings = CorpusSettings(videos=100, background_share=0.5)
    seconds, background = 0, 0
    for video in plan_how2(build_world(settings), settings).truth["train"].values():
        seconds += video["seconds"]
        background += sum(end - start for start, end, step in video["segments"] if step < 0)
    assert background / seconds == pytest.approx(0.5, abs=0.03)


def test_features_show_what_the_truth_says(corpus, truth, world):
    """The nearest direction of every second names its step, and background is near none."""
    table = np.concatenate([world.step_directions, world.background_directions])
    for split, prefix in (("train", "train_0"), ("val", "val_0")):
        shard = ShardedTensor.load(corpus / "feat/feat_how2_s3d_shard_small" / prefix)
        listed = (corpus / f"how2/how2_s3d_{split}.lst").read_text().split()
        for rows, video_id in zip(shard, listed, strict=False):
            nearest = (rows.astype(np.float32) @ table.T).argmax(axis=1)
            for start, end, step in truth["how2"][split][video_id]["segments"]:
                found = nearest[start:end]
                assert (found == step).all() if step >= 0 else (found >= len(truth["steps"])).all()


def test_tasks_use_every_step_and_share_some(truth):
    uses = Counter(step for task in truth["tasks"] for step in task["steps"])
    assert set(uses) == set(range(len(truth["steps"])))
    assert max(uses.values()) >= 2
    assert all(len(set(task["steps"])) == len(task["steps"]) for task in truth["tasks"])
    assert len({(step["verb"], step["object"]) for step in truth["steps"]}) == len(truth["steps"])


def test_steps_with_a_common_word_look_alike(world):
    similarity = world.step_directions @ world.step_directions.T
    related, unrelated = [], []
    for a, b in combinations(range(len(world.steps)), 2):
        common = set(world.steps[a][:2]) & set(world.steps[b][:2])
        (related if common else unrelated).append(similarity[a, b])
    assert np.mean(related) == pytest.approx(1 / 3, abs=0.05)
    assert np.mean(unrelated) == pytest.approx(0, abs=0.05)


def test_a_word_says_what_is_meant():
    content = Counter(
        word for verbs, things in words.DOMAINS.values() for word in {*verbs, *things}
    )
    assert set(content.values()) == {1}
    frames = [text.format(verb="", object="") for text in (*words.SAID, *words.RECALLED)]
    empty = [*frames, *words.OPENERS, *words.CLOSERS, *words.CHATTER, *words.SUBJECTS]
    assert not set(content) & spoken(" ".join(empty))


def test_a_video_skips_some_steps(truth):
    shown = planned = 0
    for _, _, video in videos_of(truth):
        shown += sum(step >= 0 for _, _, step in video["segments"])
        planned += len(truth["tasks"][video["task"]]["steps"])
    assert 1 - shown / planned == pytest.approx(SKIPPED_STEPS, abs=0.05)
