"""Job arrays: profiles, tasks as processes of this machine, and a cluster of one node."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import ConfigError, LaunchError
from mmpt_cli import slurm
from mmpt_cli.slurm import Task, read_profile, submit_array

CLUSTER = {"executor": "slurm", "array": 2, "minutes": 5}
LOCAL = {"executor": "local", "array": 2, "minutes": 5}
needs_submitit = pytest.mark.skipif(
    find_spec("submitit") is None, reason="submitit is not installed"
)
DAEMONS = ("munged", "slurmctld", "slurmd")


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "profile.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.mark.parametrize("name", ["cluster", "local"])
def test_profiles_of_the_repository_can_be_used(name):
    profile = read_profile(REPOSITORY_ROOT / f"scripts/slurm/{name}.yaml")
    assert profile.executor == {"cluster": "slurm", "local": "local"}[name]
    assert profile.array > 1


def test_what_a_profile_leaves_out_has_defaults(write):
    profile = read_profile(write(CLUSTER | {"memory_gb": 3.5, "partition": None}))
    assert (profile.cpus, profile.gpus, profile.wait, profile.setup) == (1, 0, False, None)
    assert (profile.memory_gb, profile.partition) == (3.5, None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (CLUSTER | {"memory": 4}, r"unknown key memory \(did you mean memory_gb\?\)"),
        (CLUSTER | {"colour": 4}, r"unknown key colour; known keys at the top level: executor, "),
        (CLUSTER | {"executor": "slrum"}, "executor must be one of slurm, local, got 'slrum'"),
        (CLUSTER | {"array": 0}, "array must be at least 1, got 0"),
        (CLUSTER | {"array": "8"}, "array must be an integer, got '8'"),
        (CLUSTER | {"memory_gb": 0}, "memory_gb must be above 0, got 0"),
        (CLUSTER | {"wait": "yes please"}, "wait must be true or false"),
        (CLUSTER | {"setup": "module load x"}, "setup must be a list"),
        (CLUSTER | {"setup": [3]}, "setup must be a list whose members are each a text"),
        ({"executor": "slurm"}, "array, minutes must be set"),
        (LOCAL | {"partition": "gpu", "memory_gb": 4}, "memory_gb, partition: of no use"),
        ("[1, 2]", "a mapping of keys is needed"),
        ("a: [", "not valid YAML"),
        ("", "a mapping of keys is needed"),
    ],
)
def test_a_wrong_profile_is_one_line(write, content, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        read_profile(write(content))
    assert "\n" not in str(caught.value)
    assert "profile.yaml" in str(caught.value)


def test_a_missing_profile_names_one_to_start_from(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .*/x.yaml; scripts/slurm/cluster.yaml"):
        read_profile(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_profile(tmp_path)


@needs_submitit
def test_tasks_of_this_machine_end_with_their_worst_status(write, tmp_path, capfd):
    commands = [["--version"], ["nonsense"], ["runs", str(tmp_path)]]
    status = submit_array(write(LOCAL), commands, "x", tmp_path / "logs", "merge")
    said = capfd.readouterr().out
    assert status == 2
    assert "2 of 3 tasks ended well" in said
    assert "exit status 2: mmpt: unknown command 'nonsense'" in said
    assert said.endswith("afterwards: merge\n")
    logs = "".join(path.read_text() for path in tmp_path.glob("logs/local-*/*.out"))
    assert f"no runs below {tmp_path}" in logs
    assert logs.count("exit status 0") == 2


@needs_submitit
def test_setup_lines_run_before_the_task_with_its_threads(write, tmp_path):
    setup = [f'echo $1 $3 > "{tmp_path}/said"']
    assert submit_array(write(LOCAL | {"cpus": 3, "setup": setup}), [["-V"]], "x", tmp_path) == 0
    assert (tmp_path / "said").read_text() == "env OMP_NUM_THREADS=3\n"


@needs_submitit
def test_a_task_without_a_result_counts_as_failed(write, tmp_path, capfd):
    setup = ["echo no such module >&2; exit 7"]
    assert submit_array(write(LOCAL | {"setup": setup}), [["--version"]], "x", tmp_path) == 1
    said = capfd.readouterr().out
    assert "exit status 1: stopped from outside, no result; no such module" in said


@needs_submitit
def test_a_cluster_s_profile_without_a_cluster_is_one_line(write, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="there is no sbatch on this machine"):
        submit_array(write(CLUSTER), [["--version"]], "x", tmp_path)


def test_submitit_that_is_not_installed_is_one_line(write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(LaunchError, match=r"pip install -e '\.\[slurm\]'"):
        submit_array(write(LOCAL), [["--version"]], "x", tmp_path)


@needs_submitit
def test_a_task_that_is_queued_again_leaves_no_result(monkeypatch, capsys):
    task = Task(["--version"])

    def main(argv):
        again = task.checkpoint()
        assert again.function.argv == ["--version"]
        assert not again.function.requeued
        raise SystemExit(-1)  # as submitit does when SLURM has taken the task back

    monkeypatch.setattr("mmpt_cli.main.main", main)
    with pytest.raises(SystemExit):
        task()
    assert "exit status" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("returncode", "stderr", "alive"),
    [
        (0, "", {"7_1"}),
        (1, "slurm_load_jobs error: Invalid job id specified", set()),
        (1, "slurm_load_jobs error: Unable to contact slurm controller", {"7_0", "7_1"}),
    ],
)
def test_a_controller_that_does_not_answer_loses_no_task(monkeypatch, returncode, stderr, alive):
    class Job:
        def __init__(self, job_id):
            self.job_id = job_id

    answer = subprocess.CompletedProcess([], returncode, "7_1\n" if returncode == 0 else "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **settings: answer)
    assert slurm._alive([Job("7_0"), Job("7_1")], "slurm") == alive


# ---- a cluster of one node ----------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def write_cluster(folder: Path) -> Path:
    """slurm.conf of a cluster that is this machine, all its files below a folder."""
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    conf.write_text(
        f"""ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES State=UP
"""
    )
    return conf


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A munged, a slurmctld and a slurmd of our own on the loopback, stopped at the end."""
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    lacking = [name for name in (*DAEMONS, "sbatch") if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    conf = write_cluster(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(conf))
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    munge = [f"--{option}={tmp_path}/munge.{end}" for option, end in files.items()]
    munge += ["--foreground", "--force", f"--seed-file={tmp_path}/munge.seed"]
    commands = {
        "munged": munge,
        "slurmctld": ["-D", "-i", "-f", str(conf)],
        "slurmd": ["-D", "-f", str(conf)],
    }
    started = []
    with open(tmp_path / "daemons.log", "w") as log:
        try:
            for name, options in commands.items():
                started.append(subprocess.Popen([name, *options], stdout=log, stderr=log))
                if name == "munged":
                    wait_for(lambda: (tmp_path / "munge.socket").exists(), log)
            wait_for(lambda: "idle" in output_of(["sinfo", "-h", "-o", "%T"]), log)
            yield tmp_path
            # a job's last process reports to slurmctld: it must still be there
            subprocess.run(["scancel", "--user", getpass.getuser()])
            wait_for(lambda: not output_of(["squeue", "-h"]), log)
        finally:
            for daemon in reversed(started):
                daemon.terminate()
                daemon.wait(30)


def output_of(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def wait_for(reached, log, seconds=30):
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            pytest.fail(f"the cluster does not start:\n{Path(log.name).read_text()[-2000:]}")
        time.sleep(0.2)


@pytest.mark.slow
def test_an_array_on_a_cluster_of_one_node(cluster, write, capfd, monkeypatch):
    monkeypatch.setitem(slurm.LOOK_SECONDS, "slurm", 0.5)
    profile = CLUSTER | {"wait": True, "setup": ["export MARK=1"]}
    commands = [["runs", str(cluster)], ["nonsense"]]
    assert submit_array(write(profile), commands, "two", cluster / "logs") == 2
    said = capfd.readouterr().out
    assert "1 of 2 tasks ended well" in said
    assert "_1, exit status 2: mmpt: unknown command 'nonsense'" in said

    with pytest.raises(LaunchError, match=r"SLURM refuses the job: .*partition"):
        submit_array(write(profile | {"partition": "nowhere"}), commands, "x", cluster / "logs")


@pytest.mark.slow
def test_a_cancelled_task_is_not_waited_for(cluster, write, capfd, monkeypatch):
    monkeypatch.setitem(slurm.LOOK_SECONDS, "slurm", 0.5)
    profile = CLUSTER | {"wait": False, "setup": ["sleep 600"]}
    assert submit_array(write(profile), [["--version"]] * 2, "x", cluster / "logs") == 0
    array = capfd.readouterr().out.split("as job ")[1].split()[0]
    subprocess.run(["scancel", array], check=True)

    import submitit

    jobs = [submitit.SlurmJob(cluster / "logs", f"{array}_{task}") for task in range(2)]
    ended = slurm._wait(jobs, "slurm", "x")
    assert [end.status for end in ended] == [1, 1]
    assert "stopped from outside" in ended[0].word


@pytest.mark.slow
def test_a_task_that_runs_out_of_time_is_queued_again(cluster, write, capfd):
    made = cluster / "corpus"
    command = ["demo", "make", "--out", str(made), "--videos", "2000"]
    assert submit_array(write(CLUSTER), [command], "x", cluster / "logs") == 0
    job = capfd.readouterr().out.split("as job ")[1].split()[0]
    log = cluster / "logs" / f"{job}_0_log.out"
    result = cluster / "logs" / f"{job}_0_result.pkl"

    def state():
        return output_of(["squeue", "-h", "-j", job, "-o", "%T"]).strip()

    with open(cluster / "daemons.log", "a") as said:
        wait_for(lambda: log.exists() and "mmpt demo make" in log.read_text(), said)
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
        wait_for(lambda: state() == "PENDING", said)
        assert not result.exists()
        # SLURM lets a requeued job wait for two minutes
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
        # the file, not the queue: squeue also says nothing while the controller is busy
        wait_for(result.exists, said, seconds=120)
    assert "exit status 0" in log.read_text()
    assert (made / "truth.json").exists()
