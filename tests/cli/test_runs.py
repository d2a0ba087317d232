"""`mmpt runs`: one line a run folder, whatever is in it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmpt.io import run_record
from mmpt.io.runlock import Owner
from mmpt_cli import main as cli
from mmpt_cli import runs
from mmpt_cli.entry import run_command


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_record, "_current", None)


def a_run(folder, end=None, updates=7, loss=4.25, max_update=20):
    """A run folder as a training leaves it."""
    os.makedirs(folder)
    run_record.begin_run(folder, job="job.yaml", dataset={}, max_update=max_update, max_epoch=3)
    run_record.note_progress(at_once=True, updates=updates, epoch=2, loss=loss)
    if end is not None:
        run_record.end_run(*end)


@pytest.fixture
def as_json(capsys):
    def read(*arguments):
        assert cli.main(["runs", *arguments, "--json"]) == 0
        return {entry["path"]: entry for entry in json.loads(capsys.readouterr().out)}

    return read


def test_states(as_json, monkeypatch):
    for state in ("finished", "stopped", "failed"):
        a_run(f"runs/{state}", (state, f"why {state}"))
    a_run("runs/killed")
    a_run("runs/running/nested")
    mine = Owner("node7", 12, time.time())
    monkeypatch.setattr(runs, "lock_owner", lambda f: mine if f.name == "nested" else None)
    found = as_json("runs")
    assert {path: run["state"] for path, run in found.items()} == {
        "runs/failed": "failed",
        "runs/finished": "finished",
        "runs/killed": "killed",
        "runs/running/nested": "running",
        "runs/stopped": "stopped",
    }
    assert found["runs/failed"]["note"] == "why failed"
    running = found["runs/running/nested"]
    assert (running["host"], running["pid"]) == ("node7", 12)
    numbers = ("updates", "max_update", "epoch", "max_epoch", "loss", "starts", "checkpoint")
    assert [running[name] for name in numbers] == [7, 20, 2, 3, 4.25, 1, None]


def test_an_ended_process_that_still_holds_its_folder(as_json, monkeypatch):
    a_run("runs/a", ("finished", None))
    monkeypatch.setattr(runs, "lock_owner", lambda f: Owner("here", os.getpid(), 0.0))
    assert as_json()["runs/a"]["state"] == "finished"
    monkeypatch.setattr(runs, "lock_owner", lambda f: Owner("here", -1, 0.0))
    assert as_json()["runs/a"]["state"] == "running"  # started again, its entry not written yet


def test_the_lock_of_a_live_process_counts(as_json):
    """The real lock: held by another process, then gone with it."""
    a_run("runs/a")
    holder = (
        "import sys; from mmpt.io.runlock import hold_run_folder; hold_run_folder('runs/a');"
        "print('held', flush=True); sys.stdin.read()"
    )
    root = str(Path(runs.__file__).resolve().parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", holder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert as_json()["runs/a"]["state"] == "running"
        process.kill()
    assert as_json()["runs/a"]["state"] == "killed"


def test_last_checkpoint(as_json):
    a_run("runs/a", ("stopped", "SIGTERM"))
    now = time.time()
    for age, name in (
        (500, "checkpoint1.pt"),
        (100, "checkpoint_last.pt"),
        (100, "checkpoint2.pt"),
    ):
        path = Path("runs/a", name)
        path.touch()
        os.utime(path, (now - age, now - age))
    run = as_json()["runs/a"]
    assert run["checkpoint"] == "checkpoint_last.pt" and 100 <= run["checkpoint_age_s"] < 110
    os.utime("runs/a/checkpoint2.pt")
    assert as_json()["runs/a"]["checkpoint"] == "checkpoint2.pt"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", "{", "run.json: not a JSON file"),
        ("run.json", '{"form": 1, "starts": [7]}', "run.json: no record of a run"),
        ("run.json", '{"form": 1, "starts": [{"end": 3}]}', "not as this version writes it"),
        ("status.json", "[", "status.json: not a JSON file"),
    ],
)
def test_broken_records_are_named(as_json, name, content, said):
    if name == "status.json":
        a_run("runs/a", ("finished", None))
    os.makedirs("runs/a", exist_ok=True)
    Path("runs/a", name).write_text(content)
    a_run("runs/b", ("finished", None))
    found = as_json()
    assert said in found["runs/a"]["note"]
    assert found["runs/a"]["state"] == ("finished" if name == "status.json" else "unknown")
    assert found["runs/b"]["state"] == "finished" and found["runs/b"]["note"] is None
    assert cli.main(["runs"]) == 0


def test_the_table(capsys):
    a_run("runs/deep/one", ("failed", "out of memory"), loss=float("nan"))
    a_run("runs/two", ("finished", None), updates=20)
    Path("runs/two/checkpoint_last.pt").touch()
    os.utime("runs/two/checkpoint_last.pt", (time.time() - 7300,) * 2)
    os.makedirs("runs/two/run_0")
    Path("runs/two/run_0/events.out.tfevents.1.host").touch()
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "state     updates  epoch  loss    last checkpoint              run",
        "failed    7/20     2/3    nan     -                            "
        "runs/deep/one  (out of memory)",
        "finished  20/20    2/3    4.2500  checkpoint_last.pt, 2 h old  runs/two",
    ]


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint_best.pt"])
def test_what_nobody_recorded(name, as_json, capsys):
    os.makedirs("runs/downloaded")
    Path("runs/downloaded", name).touch()
    found = as_json()["runs/downloaded"]
    assert (found["state"], found["note"]) == ("-", "no record")
    assert cli.main(["runs"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith("-  ") and row.endswith("runs/downloaded  (no record)")


def test_a_long_reason_is_cut_in_the_table_alone(as_json, capsys):
    reason = f"checkpoint x does not fit\nthis job ({'weights, ' * 40}optimizer)"
    a_run("runs/a", ("failed", reason))
    assert as_json()["runs/a"]["note"] == reason
    assert cli.main(["runs"]) == 0
    (row,) = capsys.readouterr().out.splitlines()[1:]
    shown = row.partition("(")[2]
    assert shown.startswith("checkpoint x does not fit this job (weights, ")
    assert shown.endswith("…)") and len(shown) == 121


def test_a_file_is_no_folder_of_runs(capsys):
    Path("README.md").touch()
    assert run_command(cli.main, ["runs", "README.md"]) == 1
    said = capsys.readouterr().err
    assert said == "error: README.md: a file; mmpt runs DIR lists the runs below DIR\n"


def test_nothing_there(capsys):
    assert run_command(cli.main, ["runs", "gone"]) == 1
    assert capsys.readouterr().err == (
        "error: gone: no such folder; mmpt runs DIR lists the runs below DIR\n"
    )
    os.makedirs("runs/empty")
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == "no runs below runs\n"


def test_starts_fast():
    """Neither torch nor fairseq nor transformers is imported."""
    code = (
        "import sys; import mmpt_cli.runs;"
        "print([m for m in ('torch', 'fairseq', 'transformers', 'numpy') if m in sys.modules])"
    )
    root = str(Path(runs.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout == "[]\n", done.stderr
