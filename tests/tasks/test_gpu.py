"""What only a GPU shows; skipped without one.

Two processes share one GPU through gloo; with two GPUs, fairseq's own spawning and NCCL run too.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mmpt.io.candidates import candidates_path, read_candidates
from mmpt.io.checkpoints import read_checkpoint
from mmpt.losses import MMContraLoss
from mmpt.modules import vectorindex
from mmpt.modules.retri import VectorRetriever
from mmpt_cli import train

from ..losses.test_gathering import alone, gradients_of, share
from ..losses.test_norton_options import FEATURES, batch, job
from ..ranks import run_ranks
from .test_two_processes import start_ranks

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

RETRIEVAL = {"retri_epoch": 1, "vectorpool_cls": "DistributedVideoVectorPool"}


def on_gpu(arguments):
    return [a for a in arguments if a != "--cpu"]


@pytest.mark.parametrize("precision", [[], ["--fp16"], ["--bf16"]])
@pytest.mark.parametrize("changes", [{}, {"checkpoint_activations": True}])
def test_retrieved_training(workspace, caplog, precision, changes):
    name = workspace.job(**RETRIEVAL, model=changes, loss={"gather_negatives": True})
    arguments = on_gpu(workspace.arguments(name, "runs/gpu", max_epoch=2, max_update=None))
    assert train.main([*arguments, *precision]) == 0
    state = read_checkpoint("runs/gpu/checkpoint_last.pt")["model"]
    assert all(bool(value.isfinite().all()) for value in state.values())
    assert "16 videos encoded" in caplog.text and "8 retrieved batches" in caplog.text


def test_batches_are_those_of_the_cpu(workspace):
    """In float32, from the same weights: encoding on a GPU changes no neighbour of these videos."""
    name = workspace.job(**RETRIEVAL, num_cands=16, nprobe=2)
    settings = {"max_epoch": 1, "max_update": 1, "num_workers": 0}
    for folder, arguments in (
        ("runs/cpu", workspace.arguments(name, "runs/cpu", **settings)),
        ("runs/gpu", on_gpu(workspace.arguments(name, "runs/gpu", **settings))),
    ):
        assert train.main(arguments) == 0, folder
    cpu, gpu = (read_candidates(candidates_path(f"runs/{place}", 1, 0)) for place in ("cpu", "gpu"))
    anchors = [[group[0] for group in found.batches] for found in (cpu, gpu)]
    assert anchors[0] == anchors[1]
    assert gpu.facts == pytest.approx(cpu.facts, abs=1e-2)


def test_two_processes_on_one_gpu(workspace, forkserver):
    name = workspace.job(**RETRIEVAL, loss={"gather_negatives": True})
    arguments = workspace.arguments(
        name, "runs/two", max_epoch=2, max_update=None, num_workers=1, ddp_backend="c10d",
        distributed_backend="gloo", device_id=0,
    )  # fmt: skip
    arguments = [part for a in on_gpu(arguments) for part in split_device(a)]
    ranks = start_ranks(forkserver, arguments)
    assert [forkserver.wait(rank) for rank in ranks] == [0, 0], (
        workspace.folder / "log0"
    ).read_text()
    one, two = (torch.load(f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(one[n].cpu(), two[n].cpu()) for n in one)


def split_device(argument):
    """`with_torchrun` looks for its flags as tokens of their own."""
    given = argument.startswith(("--device-id=", "--distributed-backend="))
    return argument.split("=") if given else [argument]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("jobtype", ["local_small", "torchrun_small"])
@pytest.mark.parametrize("backend", ["no_c10d", "c10d"])
def test_two_gpus(workspace, jobtype, backend):
    name = workspace.job(
        **RETRIEVAL,
        loss={"gather_negatives": True},
        fairseq={
            "common": {"fp16": True},
            "optimization": {"max_update": 12, "ddp_backend": backend},
            "checkpoint": {"save_dir": "runs/two"},
        },
    )
    launcher = str(workspace.repository / "locallaunch.py")
    done = subprocess.run(
        [sys.executable, launcher, name, "--jobtype", jobtype], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def gathered_on_gpu(rank, sizes, dtype):
    whole = {n: v.detach().cuda() for n, v in batch(sum(sizes), dtype=dtype).items()}
    first = sum(sizes[:rank])
    own = share(whole, slice(first, first + sizes[rank]))
    loss = MMContraLoss(job({"gather_negatives": True})).cuda()
    total = loss.compute(**own).total
    total.backward()
    leaves = {name: value.cpu() for name, value in own.items()}
    for name in FEATURES:
        leaves[name].grad = own[name].grad.cpu()
    return total.item(), gradients_of(loss, leaves, len(sizes))


@pytest.mark.parametrize(("dtype", "unit"), [("float64", 1e-9), ("float16", 5e-3)])
def test_contrast_over_two_processes(dtype, unit):
    sizes = (16, 8)
    total, _, gradients = alone(sizes, {}, dtype, 0, MMContraLoss)
    ranks = run_ranks(2, gathered_on_gpu, sizes, getattr(torch, dtype))
    for got, _ in ranks:
        assert got == pytest.approx(total, rel=unit)
    for name in FEATURES:
        joined = np.concatenate([of_rank[name] for _, of_rank in ranks])
        allowed = unit * np.abs(gradients[name]).max() + (2e-7 if dtype == "float16" else 0)
        np.testing.assert_allclose(joined, gradients[name], rtol=0, atol=allowed)


def test_exact_search_on_the_gpu(monkeypatch):
    monkeypatch.setattr(vectorindex, "has_faiss", lambda: False)
    vectors = np.random.default_rng(0).standard_normal((500, 32)).astype(np.float32)
    names = [f"v{i}" for i in range(500)]
    found = []
    for device in ("cpu", "cuda"):
        retriever = VectorRetriever(32, device=device)
        retriever.add(vectors, names, last=True)
        found.append(retriever.search_by_video_ids(names, 10))
    assert found[0] == found[1]
