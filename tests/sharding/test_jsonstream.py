"""Caption files video by video: what is read, and what is refused."""

import json
import os
import random

import pytest

import mmpt.sharding.jsonstream as module
from mmpt.errors import DataError, LaunchError
from mmpt.io.pickles import save_pickle
from mmpt.sharding.jsonstream import stream_captions, stream_json


def streamed(path):
    return list(stream_captions(path))


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_a_json_file_is_read_as_json_reads_it(block, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BYTES_AT_ONCE", block)
    content = {
        "a.b": {"start": [0, 1.5], "end": [1e-3, 2], "text": ["", 'a "quoted", \\ NaN']},
        "": {"text": ["Infinity, -Infinity", "\\\\", '\\"NaN', "ü\u2028😀", None, True]},
        "ünicode-_ id": [],
    }
    for ascii_only in (True, False):
        path = tmp_path / "c.json"
        path.write_text(json.dumps(content, ensure_ascii=ascii_only), encoding="utf-8")
        assert dict(streamed(path)) == content
        path.write_text("\ufeff \n" + json.dumps(content, indent=2), encoding="utf-8")
        assert dict(streamed(path)) == content


@pytest.mark.parametrize("block", [1, 5, 64, 1 << 20])
def test_captions_that_are_no_number_are_null(block, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BYTES_AT_ONCE", block)
    rng = random.Random(0)
    pieces = ["NaN", "\\", '"', ",", "Infinity", "-Infinity", "x", "ü", "]}"]
    content, expected = {}, {}
    for number in range(40):
        texts = ["".join(rng.choices(pieces, k=5)) for _ in range(4)]
        content[f"v{number}"] = {"text": [float("nan"), *texts, float("-inf"), texts[0]]}
        expected[f"v{number}"] = {"text": [None, *texts, None, texts[0]]}
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert dict(streamed(tmp_path / "c.json")) == expected


@pytest.mark.parametrize("block", [1, 64, 1 << 20])
def test_numbers_beyond_a_float_are_null_and_long_ones_floats(block, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BYTES_AT_ONCE", block)
    long, text = "1" * 30, '1e400, \\"1e400\\" 1111111111111111111111 [1e999'
    numbers = f"1e400, -1E+400,1e0400, {long}, -{long}, {'9' * 5000}, {long}.5, 1e-400, 2e+0001"
    fits = f"{2**63 - 1},\n{1 - 2**63}, {-(2**63)}, {2**63}, 1e300"
    content = f'{{"a": {{"start": [{numbers}], "text": ["{text}"]}}, "b": [{fits}]}}'
    (tmp_path / "c.json").write_text(content)
    whole = float(long)
    assert streamed(tmp_path / "c.json") == [
        (
            "a",
            {
                "start": [None, None, None, whole, -whole, None, whole, 0.0, 20.0],
                "text": [json.loads(f'"{text}"')],
            },
        ),
        ("b", [2**63 - 1, 1 - 2**63, -(2.0**63), 2.0**63, 1e300]),
    ]


def test_pickles_are_read_as_a_whole(tmp_path, caplog):
    save_pickle(tmp_path / "c.pkl", {"a": "{}", "b": "[]"})
    assert streamed(tmp_path / "c.pkl") == [("a", "{}"), ("b", "[]")]
    assert "read as a whole" in caplog.text
    for content in ([], {1: "{}"}):
        save_pickle(tmp_path / "c.pkl", content)
        with pytest.raises(DataError, match=r"c\.pkl: expected a dict of captions by video id"):
            streamed(tmp_path / "c.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; a JSON object by video id is needed"),
        (b"  \n", "is empty"),
        (b"[1]", "begins with '['; a JSON object"),
        (b"\x80\x04", "begins with"),
        (b'{"a": 1', "not a JSON file (parse error: premature EOF)"),
        (b'{"a": [1,}', "not a JSON file (parse error"),
        (b'{"a": 1} x', "not a JSON file (parse error: trailing garbage)"),
        (b'{"a": "\xff"}', "not a JSON file (lexical error: invalid bytes in UTF8 string)"),
        (b'{"a": nan}', "not a JSON file (lexical error"),
        (b'{"a": [' + b"0" * 5000 + b"1]}", "not a JSON file (parse error"),
        (b'{"a": nan}', "), before the end of its first video"),
        (b'{"a": 1, "b": [2], "c": tru}', "), after video b"),
    ],
)
def test_damaged_files(content, message, tmp_path):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        streamed(tmp_path / "c.json")
    assert str(caught.value).startswith(f"{tmp_path / 'c.json'}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_caption_file(tmp_path):
    (tmp_path / "c.csv").touch()
    os.mkfifo(tmp_path / "p.json")
    for name, reason in (
        ("c.csv", "a caption file ends in .json or .pkl"),
        ("p.json", "a pipe; a caption file is needed"),
        ("none.json", "no such file; a caption file is needed"),
    ):
        with pytest.raises(DataError, match=reason):
            streamed(tmp_path / name)


def test_ijson_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ijson", None)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(LaunchError, match=r"pip install -e '\.\[shards\]'"):
        list(stream_json(tmp_path / "c.json"))
