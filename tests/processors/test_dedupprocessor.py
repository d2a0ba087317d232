"""Captions without repetitions; the pickle step."""

import json
import random

import pytest

from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.processors.captionfile import PKLJSONStrTextProcessor
from mmpt.processors.dedupprocessor import CaptionDedupProcessor, main, shared_characters
from mmpt_cli.entry import run_command


class Drawn(random.Random):
    """Draws what it is told."""

    def __init__(self, *values):
        super().__init__()
        self.values = list(values)

    def random(self):
        return self.values.pop(0)


def captions(*lines):
    starts, ends, texts = map(list, zip(*lines, strict=True)) if lines else ([], [], [])
    return {"start": starts, "end": ends, "text": texts}


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_the_golden_videos(seed, golden_dir):
    stored = json.loads((golden_dir / "models_data/dedup_example.json").read_text())
    dedup = CaptionDedupProcessor(int(seed))
    assert {i: dedup(entry) for i, entry in stored["raw"].items()} == stored["dedup_by_seed"][seed]
    counted = dedup.statistics
    assert (counted.videos, counted.lines, counted.kept) == (2, 9, 6)
    assert (counted.empty, counted.repeated, counted.extended) == (1, 1, 1)
    assert counted.shared_before + counted.shared_after == 3


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([(0, 1, " "), (1, 2, None), (2, 3, float("nan")), (3, 4, "\n")], []),
        # the later end, whichever line has it
        ([(0, 5, "a b c"), (1, 2, "b c")], [(0, 5, "a b c")]),
        ([(0, 1, "a b c"), (1, 2, "c")], [(0, 2, "a b c")]),
        ([(0, 1, "same"), (1, 2, "same")], [(0, 2, "same")]),
        # the earlier start
        ([(3, 4, "a b"), (2, 5, "a b c")], [(2, 5, "a b c")]),
        ([(3, 9, "a b"), (4, 5, "a b c")], [(3, 9, "a b c")]),
        ([(0, 1, "one"), (2, 3, "two")], [(0, 1, "one"), (2, 3, "two")]),
    ],
)
def test_lines_that_are_merged(lines, expected):
    assert CaptionDedupProcessor(Drawn())(captions(*lines)) == captions(*expected)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (0.51, [(0, 3, "take a pan"), (3, 5, "and oil")]),
        (0.5, [(0, 2, "take a"), (2, 5, "pan and oil")]),
    ],
)
def test_a_shared_piece_goes_to_one_of_two(draw, expected):
    lines = [(0, 3, "take a pan"), (2, 5, "pan and oil")]
    assert CaptionDedupProcessor(Drawn(draw))(captions(*lines)) == captions(*expected)


@pytest.mark.parametrize("draw", [0.1, 0.9])
def test_times_stay_ordered_within_a_line(draw):
    for lines in (
        [(5, 9, "take a pan"), (2, 3, "pan and oil")],
        [(0, 1, "take a pan"), (4, 5, "pan and oil")],
    ):
        cleaned = CaptionDedupProcessor(Drawn(draw))(captions(*lines))
        assert all(s <= e for s, e in zip(cleaned["start"], cleaned["end"], strict=True))
    # across a gap, the line that keeps the piece lasts until the next one begins
    assert cleaned["end"][0] == (4 if draw > 0.5 else 1)


def test_the_shortest_shared_piece_counts():
    assert shared_characters("now cut onion", "onion onion") == 2
    assert shared_characters("aaa", "aab") == 1
    assert shared_characters("abc", "xyz") == 0
    assert shared_characters("abc", "abc") == 0


def test_the_golden_pickle_comes_out_byte_for_byte(golden_dir, tmp_path, capsys):
    how2 = golden_dir / "models_data/corpus/how2"
    name = "sentencified_htm_1200k"
    out = tmp_path / "new/c.pkl"
    assert main(["--in", str(how2 / f"{name}.json"), "--out", str(out)]) == 0
    assert out.read_bytes() == (how2 / f"{name}.pkl").read_bytes()
    assert "33 videos, 498 captions" in capsys.readouterr().out


def test_raw_captions_are_cleaned_into_a_pickle_that_training_reads(
    golden_dir, tmp_path, monkeypatch, capsys, tinybert
):
    monkeypatch.chdir(tmp_path)
    stored = json.loads((golden_dir / "models_data/dedup_example.json").read_text())
    (tmp_path / "data/how2").mkdir(parents=True)
    (tmp_path / "data/how2/raw_caption.json").write_text(json.dumps(stored["raw"]))
    assert main(["--dedup", "--seed", "1"]) == 0
    path = "data/how2/raw_caption_dedup.pkl"
    cleaned = {i: json.loads(text) for i, text in load_pickle(path).items()}
    assert cleaned == stored["dedup_by_seed"]["1"]
    assert "lines" in capsys.readouterr().out
    config = {"caption_pkl_path": path, "bert_name": str(tinybert)}
    assert PKLJSONStrTextProcessor(config)("b")["start"] == [2.0, 6.0]
    # a pickle of raw captions does as well
    texts = {i: json.dumps(entry) for i, entry in stored["raw"].items()}
    save_pickle("data/how2/raw_caption.pkl", texts)
    assert main(["--dedup", "--in", "data/how2/raw_caption.pkl"]) == 0
    cleaned = {i: json.loads(text) for i, text in load_pickle(path).items()}
    assert cleaned == stored["dedup_by_seed"]["0"]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, [], "c.json: no such file"),
        ('{"a": 1}', [], "c.json: video a: expected start, end and text, got 1"),
        ('{"a": {"start": [1]}}', ["--dedup"], "c.json: video a: expected lists start, end"),
        (
            '{"a": {"start": [1], "end": [2], "cap": [[3]]}}',
            ["--dedup"],
            "c.json: video a: holds token ids (cap); only text can be cleaned",
        ),
        ("{}", ["--out", "c.json"], "--out c.json: these are the captions that are read"),
    ],
)
def test_what_cannot_be_turned(content, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "c.json").write_text(content)
    assert run_command(main, ["--in", "c.json", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.pkl"))


def test_times_that_are_text_are_compared_as_numbers(tmp_path):
    lines = [("9.5", "10", "a b c"), (8, "9", "b c"), (10, 11.5, "other")]
    save_pickle(tmp_path / "c.pkl", {"v": json.dumps(captions(*lines))})
    assert main(["--dedup", "--in", str(tmp_path / "c.pkl")]) == 0
    cleaned = json.loads(load_pickle(tmp_path / "c_dedup.pkl")["v"])
    assert cleaned == captions((9.5, 10.0, "a b c"), (10, 11.5, "other"))
    assert [type(time) for time in cleaned["start"]] == [float, int]


@pytest.mark.parametrize("dedup", [True, False])
def test_of_an_id_that_comes_twice_the_last_entry_counts(dedup, tmp_path, capsys):
    entries = [
        json.dumps(captions(*lines)) for lines in ([(0, 1, "a"), (1, 2, "b")], [(3, 4, "c")])
    ]
    texts = [f'"{i}": {entry}' for i, entry in zip("vwv", [*entries, entries[1]], strict=True)]
    (tmp_path / "c.json").write_text("{" + ", ".join(texts) + "}")
    arguments = ["--in", str(tmp_path / "c.json"), "--out", str(tmp_path / "c.pkl")]
    assert main([*arguments, *["--dedup"] * dedup]) == 0
    expected = json.loads((tmp_path / "c.json").read_text())
    written = {i: json.loads(text) for i, text in load_pickle(tmp_path / "c.pkl").items()}
    assert written == expected
    out = capsys.readouterr().out
    if dedup:
        told = dict(line.split() for line in out.splitlines()[:9] if len(line.split()) == 2)
        assert (told["videos"], told["lines"], told["kept"], told["twice"]) == ("2", "2", "2", "1")
    else:
        assert "2 videos, 2 captions, 1 entries twice" in out


def test_an_entry_that_is_no_captions_is_a_data_error(tmp_path):
    (tmp_path / "c.json").write_text('{"a": [1]}')
    with pytest.raises(DataError):
        main(["--in", str(tmp_path / "c.json")])
