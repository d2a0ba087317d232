"""Planted evaluations in miniature: every task from annotation to the number that must come out."""

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.proof import TASKS
from mmpt.proof.codes import Codes, write_bert
from mmpt.proof.planting import recalls_with_duplicates
from mmpt.proof.seconds import in_order
from mmpt_cli import prove
from mmpt_cli.main import main

HEADLINES = {
    "msrvtt": {"R1": 0.8, "R5": 1.0, "MR": 1.0},
    "msrvtt-qa": {"acc": 0.75},
    "youcook": {"R1": 8 / 9},
    "youcook-full": {"R1": 1.0, "DTW-exact-R1": 1.0, "OT-R1": 1.0},
    "youcook-background": {"R1": 1.0, "DTW-exact-R1": 1.0},
    "coin": {"class_acc": 0.8},
    "crosstask": {},
    "didemo": {"rank1": 0.75},
    "htm-align": {},
}


@pytest.mark.parametrize("name", TASKS)
def test_the_best_number_comes_out(name, annotations):
    proof = prove.prove(TASKS[name], annotations)
    assert proof.expected and proof.failures() == []
    for metric, number in HEADLINES[name].items():
        assert proof.metrics[metric] == pytest.approx(number)


@pytest.mark.parametrize("name", ["msrvtt", "coin"])
def test_noise_takes_it_away(name, annotations):
    clean, noisy = (prove.prove(TASKS[name], annotations, noise) for noise in (0.0, 400.0))
    first = next(iter(clean.metrics))
    assert noisy.metrics[first] < clean.metrics[first] and noisy.expected == {}


def test_exchanged_videos_answer_nothing(annotations):
    proof = prove.prove(TASKS["msrvtt"], annotations, exchanged=True)
    assert proof.metrics["R1"] < 0.5 and proof.expected["R1"][0] == 0.2


def test_the_command(annotations, capsys):
    assert main(["prove", "didemo", "htm-align", "--data", str(annotations)]) == 0
    said = capsys.readouterr().out
    assert "didemo: 4 items, noise 0" in said and "rank1  0.7500  expected 0.7500" in said


def test_a_number_that_is_not_as_expected_is_a_failure(annotations, monkeypatch, capsys):
    monkeypatch.setattr(prove.Proof, "failures", lambda self: ["rank1"])
    assert main(["prove", "didemo", "--data", str(annotations)]) == 1
    assert "not as expected: didemo rank1" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{}", '{"database": {"v": {"annotation": []}}}', "[1]"])
def test_annotation_of_another_form(content, tmp_path):
    (tmp_path / "coin").mkdir()
    (tmp_path / "coin/COIN.json").write_text(content)
    with pytest.raises(DataError, match=r"annotation of test_coin_zs\.yaml is not of the form"):
        prove.prove(TASKS["coin"], tmp_path)


def test_noise_is_not_negative(annotations, capsys):
    with pytest.raises(SystemExit):
        main(["prove", "didemo", "--data", str(annotations), "--noise", "-1"])
    assert "at least 0" in capsys.readouterr().err


def test_a_part_of_an_annotation_stands_in_for_it(annotations):
    found = prove.find_annotation(annotations, "data/msrvtt/MSR_MC_test.csv")
    assert found.name == "MSR_MC_test.part.csv"
    with pytest.raises(DataError, match=r"nothing\.csv: no such annotation; DATASET\.md says"):
        prove.find_annotation(annotations, "data/msrvtt/nothing.csv")


def test_texts_of_a_group_are_orthogonal_and_equal_texts_equal(tmp_path):
    texts = [f"w{i}" for i in range(20)]
    write_bert(tmp_path / "bert", texts)
    codes = Codes(tmp_path / "bert", tokens=5, width=8)
    places = codes.add([*texts, "w3", "W3 "])
    assert places.tolist() == [*range(20), 3, 3]
    products = codes.vectors(range(20)) @ codes.vectors(range(20)).T
    assert np.array_equal(products[8:16, 8:16], products[0, 0] * np.eye(8))
    assert np.abs(products - np.diag(np.diag(products))).max() < products[0, 0]
    ids = codes.tokenizer("w5", add_special_tokens=False)["input_ids"]
    assert np.array_equal(codes.of_tokens(ids), codes.rows[5])


def test_of_equal_texts_and_equal_clips_the_last_wins():
    numbers = recalls_with_duplicates(["a", "b", "a", "c"], [1, 2, 3, 2])
    assert (numbers["R1"], numbers["R5"]) == (0.5, 1.0)


def test_seconds_in_order_are_the_best_of_all():
    random = np.random.default_rng(0)
    for _ in range(20):
        weights = random.random((6, 3))
        every = [(a, b, c) for a in range(6) for b in range(a + 1, 6) for c in range(b + 1, 6)]
        best = max(every, key=lambda rows: weights[list(rows), [0, 1, 2]].sum())
        assert in_order(weights).tolist() == list(best)
