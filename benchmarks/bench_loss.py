"""The Norton loss, forward and backward: chunked against reference.

    python -m benchmarks.bench_loss [--clips 64 128 256 512] [--masks sampler full]

31 words, 18 frames and width 768 are what pretraining gives the loss ([CLS] and [SEP] included).
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.harness import RESULTS, compare, report
from mmpt.losses import MMContraLoss
from mmpt.ops.token_similarity import token_similarity

WORDS, FRAMES, WIDTH = 31, 18, 768
IMPLEMENTATIONS = ("reference", "chunked")
PAPER = {
    "sequence_contrast": {
        "sequence_contrast_weight": 0.1,
        "threshold": 8,
        "prompt_ratio": 0.3,
        "scale": 0.1,
    },
    "sinkhorn_iterations": 50,
    "beta": 0.3,
    "alpha_lse": 1,
    "fusion_weight": 0.5,
}


def masks(kind: str, clips: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Text [clips, WORDS] and video [clips, FRAMES] masks, True = valid.

    `sampler`: the leading [CLS] does not count. Captions grow by whole sentences until they reach a
    length drawn from 8 to 32, and are cut at 29 words; clips have 3 to 16 frames; a [SEP] counts on
    both sides, a video's at the last position. About 44 % of the word-frame cells are then valid.
    """
    if kind == "full":
        lengths = WORDS, FRAMES
        return tuple(torch.ones(clips, length, dtype=torch.bool) for length in lengths)

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (clips, 1), generator=generator)

    words = (draw(8, 32) + draw(0, 9)).clamp_max(WORDS - 2)
    frames = draw(3, FRAMES - 2)
    word, frame = torch.arange(WORDS), torch.arange(FRAMES)
    text = (word >= 1) & (word <= words + 1)
    video = ((frame >= 1) & (frame <= frames)) | (frame == FRAMES - 1)
    return text, video


def features(kind: str, clips: int, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """A batch in the form the encoders give it."""
    generator = torch.Generator().manual_seed(0)
    text_mask, video_mask = masks(kind, clips, generator)
    shapes = {
        "pooled_video": (clips, WIDTH),
        "pooled_text": (clips, WIDTH),
        "video_outputs": (clips, FRAMES, WIDTH),
        "text_outputs": (clips, WORDS, WIDTH),
    }
    sample = {
        name: torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()
        for name, shape in shapes.items()
    }
    sample["video_mask_outputs"] = video_mask.to(device)
    sample["text_mask_outputs"] = text_mask.to(device)
    return sample


def build_tokens(
    kind: str, clips: int, implementation: str, device: str, dtype: torch.dtype
) -> Callable[[], None]:
    """One pass, forward and backward, through the token similarity alone."""
    sample = features(kind, clips, device, dtype)
    text, video = sample["text_outputs"], sample["video_outputs"]

    def call() -> None:
        text.grad = video.grad = None
        both = token_similarity(
            text,
            video,
            sample["text_mask_outputs"],
            sample["video_mask_outputs"],
            alpha=1.0,
            implementation=implementation,
        )
        (both.text_to_video.square().mean() + both.video_to_text.square().mean()).backward()

    return call


def build_loss(
    kind: str, clips: int, implementation: str, device: str, dtype: torch.dtype
) -> Callable[[], None]:
    """One pass, forward and backward, through the whole loss."""
    sample = features(kind, clips, device, dtype)
    loss = MMContraLoss({"loss": {**PAPER, "implementation": implementation}})

    def call() -> None:
        for value in sample.values():
            value.grad = None
        loss(**sample).backward()

    return call


OPERATIONS = {"token_similarity": build_tokens, "norton_loss": build_loss}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[64, 128, 256, 512])
    kinds, operations = ["sampler", "full"], list(OPERATIONS)
    parser.add_argument("--masks", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--operations", nargs="+", choices=operations, default=operations)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true", help="measure times only")
    parser.add_argument("--output", type=Path, default=RESULTS / "loss.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)

    for kind in args.masks:
        text, video = masks(kind, 4096, torch.Generator().manual_seed(0))
        share = (text.float().mean() * video.float().mean()).item()
        print(f"masks {kind}: {100 * share:.0f} % of the word-frame cells are valid")
        for operation in args.operations:
            for clips in args.clips:
                builds = {
                    name: functools.partial(
                        OPERATIONS[operation],
                        kind,
                        clips,
                        name,
                        args.device,
                        getattr(torch, args.dtype),
                    )
                    for name in IMPLEMENTATIONS
                }
                case = f"N={clips} T={WORDS} F={FRAMES} d={WIDTH} {args.dtype} {kind}"
                rows = compare(
                    operation,
                    case,
                    builds,
                    baseline="reference",
                    device=args.device,
                    repeats=args.repeats,
                    memory=not args.no_memory,
                )
                report(rows, args.output)


if __name__ == "__main__":
    main()
