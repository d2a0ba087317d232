"""Pretraining as it runs: clips a second, waiting and memory of short trainings, one a setting.

    python -m benchmarks.bench_pretraining [--sizes base|tiny] [--updates 12] [--only NAME ...]

Every training is a real one: `locallaunch.py` on a job file that includes the paper's, over shards
of the true forms (`bench_loader.write_corpus`: 1,024 videos), with random weights of bert-base. The
figures are those of the log's last line, that is of the last third of the updates, and of the
encoding that comes before the first batch where a setting retrieves.
"""

import argparse
import csv
import datetime
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf

from benchmarks.bench_loader import SPECIAL, WORDS, write_corpus
from benchmarks.harness import RESULTS
from mmpt.config.load import REPOSITORY_ROOT

PAPER = "projects/retri/norton/how2_pretrain.yaml"
SIZES = {
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
             "intermediate_size": 3072},
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 256},
}  # fmt: skip
NO_RETRIEVAL = {"retri_epoch": None}
FP32 = {"fairseq": {"common": {"fp16": False}}}
BF16 = {"fairseq": {"common": {"fp16": False, "bf16": True}}}
ALL_WEIGHTS = {"model": {"layernorm_only": False}}
CHECKPOINTED = {"model": {"checkpoint_activations": True}}
COMPILED = {"model": {"compile": True}}
VIDEOCLIP = {  # the lengths and the batch of VideoCLIP's own job
    "dataset": {"num_video_per_batch": 32, "max_video_len": 32, "max_len": 96,
                "sampled_max_len": 64, "sampled_video_max_len": 32},
    "loss": {"sequence_contrast": None, "sinkhorn_iterations": None},
}  # fmt: skip


def videos(count: int) -> dict:
    return {"dataset": {"num_video_per_batch": count}, "num_cands": max(192, count)}


VARIANTS: dict[str, list[dict]] = {
    "paper (fp16, 64 videos), retrieved": [],
    "paper, random groups": [NO_RETRIEVAL],
    "bf16": [NO_RETRIEVAL, BF16],
    "fp32": [NO_RETRIEVAL, FP32],
    "checkpoint_activations": [NO_RETRIEVAL, CHECKPOINTED],
    "compile": [NO_RETRIEVAL, COMPILED],
    "16 videos": [NO_RETRIEVAL, videos(16)],
    "32 videos": [NO_RETRIEVAL, videos(32)],
    "128 videos": [NO_RETRIEVAL, videos(128)],
    "128 videos, checkpoint_activations": [NO_RETRIEVAL, videos(128), CHECKPOINTED],
    "256 videos, checkpoint_activations": [NO_RETRIEVAL, videos(256), CHECKPOINTED],
    "all weights": [NO_RETRIEVAL, ALL_WEIGHTS],
    "VideoCLIP (32 videos, 32 + 64, all weights)": [NO_RETRIEVAL, ALL_WEIGHTS, VIDEOCLIP],
}
"""Name -> what is merged over the paper's job file."""

FIGURES = ("clips_s", "mem_gb", "wait", "loss")
LOGGED = re.compile(r"train_inner \| .*")
ENCODED = re.compile(r"(\d+) videos encoded in ([\d.]+) s \(([\d.]+) videos/s\), ([\d.]+) % of it")


class Measured(NamedTuple):
    """One training: a line of the CSV file."""

    utc: str
    variant: str
    encoders: str
    device: str
    torch: str
    threads: int
    loader_workers: int
    updates: int
    clips_s: float | None
    mem_gb: float | None
    wait: float | None
    loss: float | None
    encoded_videos_s: float | None
    encoding_wait_percent: float | None
    problem: str


def write_data(folder: Path, sizes: str) -> dict[str, Any]:
    """The corpus, and what a job file must say to train on it."""
    write_corpus(folder)
    config = json.loads((folder / "bert/config.json").read_text())
    config |= {**SIZES[sizes], "vocab_size": len(SPECIAL + WORDS), "architectures": ["BertModel"]}
    (folder / "bert/config.json").write_text(json.dumps(config))
    return {
        "includes": PAPER,
        "dataset": {
            "bert_name": str(folder / "bert"),
            "train_path": str(folder / "train.lst"),
            "val_path": None,
            "vfeat_dir": str(folder),
            "tfeat_dir": f"{folder}/text.",
        },
        "fairseq": {
            "common": {"tensorboard_logdir": None, "no_progress_bar": True},
            "dataset": {"disable_validation": True},
            "checkpoint": {
                "restore_file": None,
                **dict.fromkeys(("reset_optimizer", "reset_dataloader", "reset_meters")),
                "no_save": True,
                **dict.fromkeys(
                    ("save_interval_updates", "keep_interval_updates", "keep_last_epochs")
                ),
            },
        },
    }


def measure(
    name: str, base: dict, folder: Path, sizes: str, updates: int, workers: int
) -> Measured:
    """Trains a few updates of one variant and reads its log."""
    limits = {
        "common": {"log_interval": max(1, updates // 3)},
        "optimization": {"max_update": updates},
        "checkpoint": {"save_dir": str(folder / "run")},
        "dataset": {"num_workers": workers},
    }
    job = OmegaConf.merge(base, *VARIANTS[name], {"fairseq": limits})
    OmegaConf.save(job, folder / "job.yaml")
    command = [sys.executable, str(REPOSITORY_ROOT / "locallaunch.py"), str(folder / "job.yaml")]
    done = subprocess.run(
        [*command, "--jobtype", "local_single"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY_ROOT,
    )
    shutil.rmtree(folder / "run", ignore_errors=True)
    lines = LOGGED.findall(done.stdout)
    found = dict(re.findall(r"(\w+)=([\d.]+)", lines[-1])) if lines else {}
    encoded = ENCODED.search(done.stdout)
    problem = "" if done.returncode == 0 else done.stdout.strip().splitlines()[-1][:200]
    return Measured(
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        name,
        sizes,
        torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        torch.__version__,
        torch.get_num_threads(),
        workers,
        updates,
        *(float(found[figure]) if figure in found else None for figure in FIGURES),
        float(encoded[3]) if encoded else None,
        float(encoded[4]) if encoded else None,
        problem,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", choices=SIZES, default="base")
    parser.add_argument("--updates", type=int, default=12, help="of each training")
    parser.add_argument("--workers", type=int, default=4, help="loader workers")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, help="these variants alone")
    parser.add_argument("--output", type=Path, default=RESULTS / "pretraining.csv")
    args = parser.parse_args(argv)
    new = not args.output.exists()
    with tempfile.TemporaryDirectory() as name, args.output.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(Measured._fields)
        base = write_data(Path(name), args.sizes)
        for variant in args.only or VARIANTS:
            row = measure(variant, base, Path(name), args.sizes, args.updates, args.workers)
            writer.writerow(row)
            file.flush()
            print(
                f"{row.variant:45s} {row.clips_s or 0:8.0f} clips/s {row.mem_gb or 0:6.2f} GiB "
                f"wait {row.wait or 0:.3f} loss {row.loss or 0:.3f}"
                + (f"; encoding {row.encoded_videos_s:.0f} videos/s, {row.encoding_wait_percent} % "
                   "waiting" if row.encoded_videos_s else "")
                + (f"; {row.problem}" if row.problem else ""),
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
