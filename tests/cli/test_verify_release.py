"""Published numbers against ours: what is compared, what is refused, what is written where."""

import json
import re
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmpt.config.load import REPOSITORY_ROOT, load_config
from mmpt.demo import make_corpus
from mmpt.demo.corpus import MARK
from mmpt.errors import DataError, LaunchError
from mmpt.evaluators import METRICS
from mmpt.report.published import ITEMS, PUBLISHED
from mmpt.utils.bert import load_tokenizer
from mmpt_cli import demo_run, release_jobs, verify_release
from mmpt_cli.entry import run_command
from mmpt_cli.rehearsal import read_reference
from mmpt_cli.verify_block import (
    EQUAL,
    NOT_MEASURED,
    OTHER_SET,
    OUTSIDE,
    REHEARSAL,
    RELEASE,
    WITHIN,
    check_target,
    rows_of,
    verdict,
    write_block,
)

NORTON = REPOSITORY_ROOT / "projects/retri/norton"
SMALL = {
    "videos": 2,
    "test_videos": 12,
    "finetune_videos": 2,
    "align_videos": 2,
    "youcook_videos": 3,
    "coin_videos": 4,
    "didemo_videos": 2,
    "crosstask_videos": 3,
    "bert_hidden": 16,
}
HALF = 0.0005


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "demo"
    make_corpus(folder, **SMALL)
    return folder


@pytest.fixture
def place(corpus, tmp_path, monkeypatch):
    """A working directory without anything; returns what makes a checkpoint for a job there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no cache"))
    load_tokenizer.cache_clear()
    return demo_run.save_untrained


@pytest.fixture
def data(corpus, place):
    """What stands for the released data: the demo's files, not known to be a demo's any more, in a
    folder of another name; and an untrained model of six layers as Norton's checkpoint."""
    folder = Path("elsewhere")
    shutil.copytree(corpus, folder)
    (folder / MARK).unlink()
    shutil.copytree(corpus / "tinybert", "pretrained_models/bert-base-uncased")
    place(NORTON / "test_vtt_zs.yaml", release_jobs.NORTON)
    return folder


@pytest.fixture
def whole_sets(monkeypatch):
    """The demo's small test sets, taken for whole ones."""
    monkeypatch.setitem(ITEMS, "test_vtt_zs", 12)
    monkeypatch.setitem(ITEMS, "test_vttqa_zs", 12)


@pytest.fixture
def evaluated(monkeypatch):
    """Results without evaluating; returns what sets them: job -> (items, metrics, intervals)."""
    made = {}

    def evaluate(path, config, checkpoint, **_):
        if path.stem not in made:
            raise DataError("truncated")
        items, metrics, intervals = made[path.stem]
        entry = {"metrics": metrics, "intervals": intervals, "items": items, "sha256": "ab12"}
        return {"results": [entry], "best": 0}

    monkeypatch.setattr(verify_release, "evaluate", evaluate)
    return made


@pytest.fixture
def demo(corpus, place):
    """The demo corpus, and an untrained model in the place of its second stage's."""
    Path("data").mkdir()
    Path("data/demo").symlink_to(corpus)
    place(demo_run.JOBS / "norton.yaml", demo_run.RUNS / "norton/checkpoint_best.pt")


ONLY = ["--only", "test_vtt_zs", "test_vttqa_zs", "--device", "cpu"]
REHEARSED = ["--rehearse", "--only", "test_vtt_norton", "--device", "cpu"]


@pytest.mark.parametrize(
    ("given", "ours", "interval", "expected"),
    [
        (0.242, 0.2424, (0.2, 0.3), EQUAL),
        (0.242, 0.2425, (0.2, 0.3), EQUAL),
        (0.242, 0.2426, (0.2, 0.3), WITHIN),
        (0.242, 0.25, (0.2424, 0.26), WITHIN),  # 0.2424 is given as 0.242 too
        (0.242, 0.25, (0.2426, 0.26), OUTSIDE),
        (0.242, 0.23, (0.22, 0.2415), WITHIN),
        (0.242, 0.23, (0.22, 0.2414), OUTSIDE),
        (0.242, 0.2426, None, OUTSIDE),
        (0.242, None, None, NOT_MEASURED),
    ],
)
def test_verdicts(given, ours, interval, expected):
    assert verdict(given, ours, interval, HALF) == expected


@pytest.mark.parametrize(
    ("items", "whole", "ours", "expected"),
    [
        (1000, 1000, 0.12, WITHIN),
        (25, 1000, 0.12, OTHER_SET),
        (999, 1000, 0.107, OTHER_SET),
        (1001, 1000, 0.107, OTHER_SET),
        (25, 1000, None, NOT_MEASURED),
        (25, None, 0.12, WITHIN),
    ],
)
def test_only_the_whole_test_set_reproduces(items, whole, ours, expected):
    result = {"metrics": {"R1": ours}, "intervals": {"R1": [0.0, 0.4]}, "items": items}
    (row,) = rows_of("Norton", "test_vtt_zs", result, ["R1"], {"R1": 0.107}, HALF, whole)
    assert row.verdict == expected


def test_every_job_with_published_numbers_says_how_large_its_test_set_is():
    assert ITEMS.keys() == PUBLISHED.keys()


def test_published_numbers_are_of_jobs_and_metrics_that_there_are():
    for job, numbers in PUBLISHED.items():
        metric = METRICS[load_config(config_file=NORTON / f"{job}.yaml").metric]
        assert numbers.keys() <= set(metric.metric_names), job
        for number in numbers.values():
            assert all(0.1 <= value < 1 and round(value, 3) == value for value in number)
    assert sum(map(len, PUBLISHED.values())) == 3 + 3 + 1 + 1 + 3 + 9 + 9 + 1 + 1
    assert PUBLISHED["test_youcook_fullvideo_zs"]["OTAM-R1"] == (0.889, 0.528)


def test_what_is_missing_is_listed_and_nothing_evaluated(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verify_release, "evaluate", lambda *_, **__: pytest.fail("evaluated"))
    assert verify_release.main([]) == 1
    out = capsys.readouterr().out
    for line in ("data/msrvtt/MSR_MC_test.csv", "runs/retri/norton/checkpoint_best.pt"):
        assert f"  {line}\n" in out
    count = len(list(NORTON.glob("test_*_zs.yaml")))
    assert (
        f"\n0 of {count} jobs have all they need" in out
    )  # no fine-tuned checkpoint, so none of these
    assert list(tmp_path.rglob("*")) == []


def test_a_small_test_set_is_no_reproduction(data, capsys):
    """An untrained model, intervals that hold nearly anything."""
    document = Path("parity.md")
    document.write_text(f"{RELEASE.begin}\n{RELEASE.end}\n")
    assert verify_release.main(["--data", str(data), *ONLY, "--write", str(document)]) == 1
    text = document.read_text()
    rows = [line.split("|")[1:-1] for line in text.splitlines() if "| Norton | test_" in line]
    assert [row[2].strip() for row in rows] == ["12 (published: 1,000)"] * 3 + [
        "12 (published: 2,990)"
    ]
    assert {row[-1].strip() for row in rows} == {OTHER_SET} == {"other test set"}
    assert ": 0 of 4 numbers are reproduced" in text
    assert "*within*: on the whole test set, the given number lies in our 95 % interval" in text
    assert "*other test set*: it has more or fewer items than the published one" in text


@pytest.mark.usefixtures("whole_sets")
def test_released_files_are_compared_and_the_block_is_written(data, capsys):
    document = Path("parity.md")
    document.write_text(f"before\n\n{RELEASE.begin}\nold\n{RELEASE.end}\n\nafter\n")
    arguments = ["--data", str(data), *ONLY, "--write", str(document)]
    assert verify_release.main(arguments) == 1  # an untrained model reaches nothing
    printed, text = capsys.readouterr().out, document.read_text()
    assert text.startswith(f"before\n\n{RELEASE.begin}\n\nWritten by `mmpt verify-release` on 20")
    assert text.endswith(f"{RELEASE.end}\n\nafter\n") and "old" not in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if "| Norton | test_" in line]
    assert [row[3].strip() for row in rows] == ["R1", "R5", "R10", "acc"]
    assert [row[4].strip() for row in rows] == ["0.107", "0.241", "0.316", "0.771"]
    results = json.loads(Path("runs/verify_release/results_test_vttqa_zs.json").read_text())
    (found,) = results["results"]
    assert rows[-1][5].strip() == f"{found['metrics']['acc']:.4f}"
    low, high = found["intervals"]["acc"]
    assert rows[-1][6].strip() == f"{low:.4f} to {high:.4f}"
    assert rows[-1][7].strip() == verdict(0.771, found["metrics"]["acc"], (low, high), HALF)
    assert f"| Norton | runs/retri/norton/checkpoint_best.pt | `{found['sha256']}` |" in text
    assert "Lin et al., ICLR 2024" in text and "torch 2" in text
    assert "* test_vtt_ft: no checkpoint runs/retri/norton/vtt/checkpoint_best.pt" in text
    assert "* VideoCLIP: no checkpoint" in text
    assert text.partition(RELEASE.begin)[2].partition(RELEASE.end)[0].strip() in printed


def test_videoclip_and_fine_tuned_checkpoints_where_they_are(data, place):
    for path in (release_jobs.VIDEOCLIP, "runs/retri/norton/vttqa/checkpoint_best.pt"):
        Path(path).parent.mkdir(parents=True)
        shutil.copy(release_jobs.NORTON, path)
    evaluations, left_out = release_jobs.released(data, None, None, Path("out"))
    found = {(one.model, one.file.stem): one for one in evaluations}
    zero_shot = {p.stem for p in NORTON.glob("test_*_zs.yaml")}
    assert found.keys() == {
        *(("Norton", name) for name in [*zero_shot, "test_vttqa_ft"]),
        *(("VideoCLIP", name) for name in zero_shot & PUBLISHED.keys()),
    }
    assert found["Norton", "test_vtt_zs"].given["R1"] == 0.107
    assert found["VideoCLIP", "test_vtt_zs"].given["R1"] == 0.104
    assert found["Norton", "test_vttqa_ft"].given == {"acc": 0.927}
    assert found["Norton", "test_didemo_zs"].given == {}
    assert str(found["VideoCLIP", "test_vtt_zs"].checkpoint) == str(release_jobs.VIDEOCLIP)
    assert found["Norton", "test_coin_zs"].config.dataset.test_path == f"{data}/coin/COIN.json"
    assert len(left_out) == 3 and "test_vttqa_ft" not in " ".join(left_out)


def test_videos_that_are_left_out_are_allowed_on_demand(data, capsys):
    folder = data / "youcook/youcook_validation_feature_fps30_512"
    sorted(folder.iterdir())[0].unlink()
    only = ["--data", str(data), "--only", "test_youcook_zs", "--device", "cpu"]
    assert verify_release.main(only) == 1
    assert "the job leaves them out" in capsys.readouterr().out
    assert not Path("runs/verify_release").exists()
    assert verify_release.main([*only, "--incomplete"]) == 1
    out = capsys.readouterr().out
    (row,) = [
        line for line in out.splitlines() if "| test_youcook_zs |" in line and "| R1 |" in line
    ]
    assert re.search(r"\| \d+ \(published: 3,350\) \|", row) and row.endswith("other test set |")
    told = out.partition("Left out of the test sets (--incomplete):\n\n* ")[2].splitlines()[0]
    assert told.startswith(f"{folder}: 1 of the 3 videos of ") and told.endswith(
        "; the job leaves them out (test_youcook_zs)"
    )
    (data / "msrvtt/MSR_MC_test.csv").unlink()
    assert verify_release.main(["--data", str(data), *ONLY, "--incomplete"]) == 1
    assert "| Norton |" not in capsys.readouterr().out


def test_an_evaluation_that_fails_does_not_stop_the_others(data, capsys, monkeypatch):
    evaluate = verify_release.evaluate

    def failing(path, *args, **options):
        if path.stem == "test_vtt_zs":
            raise DataError("train item 3: truncated")
        return evaluate(path, *args, **options)

    monkeypatch.setattr(verify_release, "evaluate", failing)
    assert verify_release.main(["--data", str(data), *ONLY]) == 1
    out = capsys.readouterr().out
    assert "Failed:\n\n* Norton, test_vtt_zs: train item 3: truncated" in out
    assert "| Norton | test_vttqa_zs |" in out and "| Norton | test_vtt_zs |" not in out


DOCUMENT = f"{RELEASE.begin}\nold\n{RELEASE.end}\n"
VTT = ({"R1": 0.107, "R5": 0.241, "R10": 0.316}, {})


@pytest.mark.usefixtures("whole_sets")
def test_the_block_says_what_was_not_asked_for(data, evaluated, capsys):
    evaluated["test_vtt_zs"] = (12, *VTT)
    Path("parity.md").write_text(DOCUMENT)
    arguments = ["--data", str(data), "--only", "test_vtt_zs", "--write", "parity.md"]
    assert verify_release.main(arguments) == 0
    text = Path("parity.md").read_text()
    assert ": 3 of 3 numbers are reproduced" in text
    told = text.partition("Not evaluated:\n\n")[2]
    others = {path.stem for path in NORTON.glob("test_*_zs.yaml")} - {"test_vtt_zs"}
    assert {line for line in told.splitlines() if line.endswith(": not asked for (--only)")} == {
        f"* {name}: not asked for (--only)" for name in others
    }
    assert "* test_vtt_ft: no checkpoint " in told


@pytest.mark.parametrize(
    ("only", "results"),
    [
        ("test_vtt_zs", {}),  # all fail
        ("test_didemo_zs", {"test_didemo_zs": (9, {"rank@1": 0.2}, {})}),  # nothing published
        ("test_vtt_zs", {"test_vtt_zs": (1000, {"other": 0.2}, {})}),  # nothing measured
    ],
)
def test_where_nothing_is_compared_the_document_stays_as_it_is(
    data, evaluated, capsys, only, results
):
    evaluated.update(results)
    Path("parity.md").write_text(DOCUMENT)
    arguments = ["--data", str(data), "--only", only]
    assert verify_release.main(arguments) == 1
    assert verify_release.main([*arguments, "--write", "parity.md"]) == 1
    assert Path("parity.md").read_text() == DOCUMENT
    out = capsys.readouterr().out
    assert out.endswith("\nnothing was compared: parity.md stays as it is\n")
    assert "no number was compared" in out


def test_published_numbers_never_meet_a_demo_corpus(corpus, place):
    with pytest.raises(LaunchError, match=r"lies in a demo corpus .*; --rehearse is for it"):
        verify_release.main(["--data", str(corpus)])
    Path("data").symlink_to(corpus)
    with pytest.raises(LaunchError, match="lies in a demo corpus"):
        verify_release.main([])


def test_a_rehearsal_stores_its_numbers_and_compares_with_them(demo, capsys):
    reference = Path("runs/verify_release/rehearsal/reference.json")
    document = Path("rehearsal.md")
    document.write_text(f"{REHEARSAL.begin}\n{REHEARSAL.end}\n")
    assert verify_release.main(REHEARSED) == 0
    out = capsys.readouterr().out
    assert f"numbers of test_vtt_norton stored for the next rehearsal: {reference}" in out
    assert ": no number was compared with that of an earlier rehearsal." in out
    stored = read_reference(reference)
    assert stored["test_vtt_norton"].keys() > {"R1", "R5", "R10"}

    assert verify_release.main([*REHEARSED, "--write", str(document)]) == 0
    out = capsys.readouterr().out
    count = len(stored["test_vtt_norton"])
    assert f"{count} of {count} numbers are reproduced (an earlier rehearsal)" in out
    assert "A rehearsal on the demo corpus, not results." in document.read_text()
    published = {f"{number.norton:.3f}" for number in PUBLISHED["test_vtt_zs"].values()}
    assert not published & set(re.findall(r"0\.\d{3}\b", document.read_text()))

    content = json.loads(reference.read_text())
    content["numbers"]["test_vtt_norton"]["R1"] = 0.99
    reference.write_text(json.dumps(content))
    assert verify_release.main(REHEARSED) == 1
    assert f"{count - 1} of {count} numbers" in capsys.readouterr().out
    assert verify_release.main([*REHEARSED, "--renew"]) == 0
    assert read_reference(reference) == stored


REFERENCE = Path("runs/verify_release/rehearsal/reference.json")
BOTH = ["--rehearse", "--only", "test_vtt_norton", "test_vttqa_norton"]


def numbers(**jobs):
    """Results of rehearsed jobs, an equal number for all metrics of one."""
    names = {"vtt": ("R1", "R5"), "vttqa": ("acc",)}
    return {f"test_{job}_norton": (12, dict.fromkeys(names[job], n), {}) for job, n in jobs.items()}


def test_numbers_of_a_rehearsal_are_stored_job_by_job(demo, evaluated, capsys):
    evaluated.update(numbers(vtt=0.5))
    assert verify_release.main(BOTH) == 1  # test_vttqa_norton fails, the other is stored
    assert read_reference(REFERENCE) == {"test_vtt_norton": {"R1": 0.5, "R5": 0.5}}
    evaluated.update(numbers(vtt=0.5, vttqa=0.25))
    assert verify_release.main(BOTH) == 0  # one compared, one stored
    out = capsys.readouterr().out
    assert ": 2 of 2 numbers are reproduced (an earlier rehearsal)" in out
    assert f"* numbers of test_vttqa_norton stored for the next rehearsal: {REFERENCE}" in out
    stored = json.loads(REFERENCE.read_text())
    assert stored["numbers"]["test_vttqa_norton"] == {"acc": 0.25}
    assert stored["sources"]["test_vtt_norton"]["sha256"] == "ab12"
    evaluated.update(numbers(vtt=0.75, vttqa=0.125))
    assert verify_release.main(BOTH) == 1
    assert json.loads(REFERENCE.read_text()) == stored


def test_the_numbers_of_one_job_are_renewed_alone(demo, evaluated, capsys):
    evaluated.update(numbers(vtt=0.5, vttqa=0.25))
    assert verify_release.main(BOTH) == 0
    evaluated.update(numbers(vtt=0.75, vttqa=0.125))
    renewed = ["--rehearse", "--renew", "--only", "test_vtt_norton"]
    assert verify_release.main(renewed) == 0
    stored = read_reference(REFERENCE)
    assert stored == {
        "test_vtt_norton": {"R1": 0.75, "R5": 0.75},
        "test_vttqa_norton": {"acc": 0.25},
    }
    del evaluated["test_vtt_norton"]
    assert verify_release.main(renewed) == 1  # it fails: the old numbers stay
    assert read_reference(REFERENCE) == stored


def test_a_rehearsal_with_nothing_to_compare_with_leaves_the_document(demo, evaluated, capsys):
    evaluated.update(numbers(vtt=0.5))
    text = f"{REHEARSAL.begin}\n{REHEARSAL.end}\n"
    Path("rehearsal.md").write_text(text)
    arguments = ["--rehearse", "--only", "test_vtt_norton", "--write", "rehearsal.md"]
    assert verify_release.main(arguments) == 1
    assert Path("rehearsal.md").read_text() == text and REFERENCE.is_file()
    assert verify_release.main(arguments) == 0
    assert "test_vttqa_norton: not asked for (--only)" in Path("rehearsal.md").read_text()


def test_renewing_replaces_damaged_numbers(demo, evaluated):
    REFERENCE.parent.mkdir(parents=True)
    REFERENCE.write_text("{")
    evaluated.update(numbers(vtt=0.5))
    assert run_command(verify_release.main, REHEARSED) == 1
    assert verify_release.main([*REHEARSED, "--renew"]) == 0
    assert read_reference(REFERENCE) == {"test_vtt_norton": {"R1": 0.5, "R5": 0.5}}


def test_a_rehearsal_without_a_demo_run_lists_what_is_missing(place, capsys):
    assert verify_release.main(REHEARSED) == 1
    assert "runs/retri/demo/norton/checkpoint_best.pt" in capsys.readouterr().out


def test_damaged_numbers_of_a_rehearsal(tmp_path):
    path = tmp_path / "reference.json"
    assert read_reference(path) == {}
    for text in ("{", "{}", '{"numbers": {"a": 1}}', '{"numbers": {"a": {"R1": "much"}}}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"not the numbers of an earlier rehearsal .*--renew"):
            read_reference(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("no marks\n", "it must hold the lines"),
        (f"{RELEASE.begin}\n", "it must hold the lines"),
        (f"{RELEASE.begin}\n{RELEASE.end}\n{RELEASE.begin}\n", "once each"),
        (f"{RELEASE.end}\n{RELEASE.begin}\n", "stands before"),
        (f"{REHEARSAL.begin}\n{REHEARSAL.end}\n", "it must hold the lines"),
    ],
)
def test_documents_without_a_place_for_the_block(place, tmp_path, text, line):
    path = tmp_path / "parity.md"
    if text is not None:
        path.write_text(text)
    with pytest.raises(LaunchError, match=re.escape(line)):
        verify_release.main(["--write", str(path)])
    assert (path.read_text() if text is not None else None) == text


def test_a_block_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "parity.md"
    path.write_text(f"a\n{RELEASE.begin}{RELEASE.end}\nb")
    for _ in range(2):
        write_block(path, RELEASE, f"{RELEASE.begin}\n\nnew\n\n{RELEASE.end}\n")
        assert path.read_text() == f"a\n{RELEASE.begin}\n\nnew\n\n{RELEASE.end}\nb"
        check_target(path, RELEASE)


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--renew"], 2, "--renew is for --rehearse"),
        (["--rehearse", "--data", "data"], 2, "--data is for the released files"),
        (["--rehearse", "--checkpoint", "a.pt"], 2, "--checkpoint is for the released files"),
        (["--checkpoint", ""], 2, "an empty name"),
        (["--data", "nowhere"], 1, "error: --data nowhere: no such folder"),
        (["--only", "test_vt_zs"], 1, "no job to evaluate (did you mean test_vtt_zs?); there are"),
        (["--only", "test_vtt_ft"], 1, "error: --only test_vtt_ft: no job to evaluate"),
    ],
)
def test_wrong_use(place, capsys, arguments, status, line):
    assert run_command(verify_release.main, arguments) == status
    assert line in capsys.readouterr().err


def test_other_paths_stay_where_they_are():
    config = OmegaConf.create({"dataset": {"test_path": "data/a.csv", "vfeat_dir": "/b/data/c"}})
    moved = release_jobs.moved(config, Path("/d"))
    assert moved.dataset == {"test_path": "/d/a.csv", "vfeat_dir": "/b/data/c"}
