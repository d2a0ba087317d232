"""The dual encoder, forward and backward: recomputed and compiled layers against neither.

    python -m benchmarks.bench_encoders [--clips 64] [--weights all layernorm]
    python -m benchmarks.bench_encoders --device cuda --dtype float16

Training mode, dropout included. On the CPU a small pair of encoders; on a GPU bert-base's sizes
and the paper's batch. Weights are random, and graphs are compiled before anything is measured.
"""

import argparse
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.harness import RESULTS, compare, report
from mmpt.models import build_model

FEATURES = 512
"""Values of a second of video (S3D)."""
IMPLEMENTATIONS = {
    "plain": {},
    "recompute": {"checkpoint_activations": True},
    "compile": {"compile": True},
    "both": {"checkpoint_activations": True, "compile": True},
}


class Sizes(NamedTuple):
    """Of the encoders and of a batch."""

    clips: int
    frames: int
    words: int
    width: int
    text_layers: int
    video_layers: int
    vocabulary: int


SIZES = {
    "cpu": Sizes(64, 16, 32, width=256, text_layers=4, video_layers=2, vocabulary=4096),
    "cuda": Sizes(1024, 16, 32, width=768, text_layers=12, video_layers=6, vocabulary=30522),
}


def build_encoders(sizes: Sizes, weights: str, implementation: str) -> nn.Module:
    """MMFusionSeparate with random weights, of which `all` or the `layernorm` weights train."""
    bert = {
        "model_type": "bert",
        "hidden_size": sizes.width,
        "intermediate_size": 4 * sizes.width,
        "num_attention_heads": sizes.width // 64,
        "num_hidden_layers": sizes.text_layers,
        "vocab_size": sizes.vocabulary,
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(bert))
        dataset = {"bert_name": folder, "max_video_len": sizes.frames, "max_len": sizes.words}
        model = {
            "model_cls": "MMFusionSeparate",
            "video_encoder_cls": "MMBertForEncoder",
            "text_encoder_cls": "BertModel",
            "num_hidden_video_layers": sizes.video_layers,
            "layernorm_only": weights == "layernorm",
            **IMPLEMENTATIONS[implementation],
        }
        return build_model({"dataset": {**dataset, "vfeat_dim": FEATURES}, "model": model})


def batch(sizes: Sizes, clips: int, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Clips of 3 seconds and more, captions of 8 words and more, padded."""
    generator = torch.Generator().manual_seed(0)

    def mask(low: int, length: int) -> Tensor:
        valid = torch.randint(low, length + 1, (clips, 1), generator=generator)
        return torch.arange(length) < valid

    caps = torch.randint(sizes.vocabulary, (clips, sizes.words), generator=generator)
    vfeats = torch.randn(clips, sizes.frames, FEATURES, generator=generator)
    return {
        "caps": caps.to(device),
        "cmasks": mask(8, sizes.words).to(device),
        "vfeats": vfeats.to(device, dtype),
        "vmasks": mask(3, sizes.frames).to(device),
    }


def build(
    sizes: Sizes, weights: str, implementation: str, device: str, dtype: torch.dtype
) -> Callable[[], None]:
    """One pass, forward and backward, through both encoders."""
    torch.manual_seed(0)
    model = build_encoders(sizes, weights, implementation).to(device, dtype).train()

    def run(inputs: dict[str, Tensor]) -> None:
        outputs = model(**inputs)
        parts = [outputs[name].float().square().mean() for name in ("video_outputs", "pooled_text")]
        sum(parts).backward()
        model.zero_grad()  # the next one's peak is to include its gradients

    start = time.perf_counter()
    run(batch(sizes, 2, device, dtype))  # few clips: the graph is the same, the memory is not
    print(f"{implementation}: first call {time.perf_counter() - start:.1f} s", flush=True)
    return functools.partial(run, batch(sizes, sizes.clips, device, dtype))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--clips", type=int, help="default: 64 on the CPU, 1024 on a GPU")
    kinds, implementations = ["all", "layernorm"], list(IMPLEMENTATIONS)
    parser.add_argument("--weights", nargs="+", choices=kinds, default=kinds)
    parser.add_argument(
        "--implementations", nargs="+", choices=implementations[1:], default=implementations[1:]
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true", help="measure times only")
    parser.add_argument("--output", type=Path, default=RESULTS / "encoders.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # glibc, in the processes that measure memory: what is freed goes back at once, so that a peak
    # is what is held and not what was left over from compiling
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 16)

    sizes = SIZES[args.device]
    sizes = sizes._replace(clips=args.clips or sizes.clips)
    layers = f"{sizes.video_layers}+{sizes.text_layers}"
    shape = f"N={sizes.clips} F={sizes.frames} T={sizes.words} d={sizes.width} L={layers}"
    for weights in args.weights:
        builds = {
            name: functools.partial(
                build, sizes, weights, name, args.device, getattr(torch, args.dtype)
            )
            for name in ["plain", *args.implementations]
        }
        rows = compare(
            "encoders",
            f"{shape} {args.dtype} {weights}",
            builds,
            baseline="plain",
            device=args.device,
            repeats=args.repeats,
            memory=not args.no_memory,
        )
        report(rows, args.output)


if __name__ == "__main__":
    main()
