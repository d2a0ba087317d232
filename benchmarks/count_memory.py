"""What one update must keep in memory, counted instead of measured: for planning batches.

    python -m benchmarks.count_memory

Bytes that autograd keeps between forward and backward pass: of bert-base encoders (12 text, 6 video
layers) in half precision, a clip at a time, and of Norton's loss in float32, for several numbers of
clips. Counted by the storages that are saved, on the CPU; a GPU's allocator and its kernels' work
space add to it, and fused kernels may keep less.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from omegaconf import OmegaConf

from benchmarks.bench_loader import SPECIAL, WORDS
from benchmarks.bench_pretraining import SIZES
from mmpt.config.load import load_config
from mmpt.losses import MMContraLoss
from mmpt.models import build_model

PAPER = "projects/retri/norton/how2_pretrain.yaml"
MIB = 1 << 20
CLIPS = 8
LENGTHS = {"Norton (16 s, 32 words)": (16, 48), "VideoCLIP (32 s, 64 words)": (32, 96)}


class Kept:
    """Within, counts the bytes of different storages that autograd saves; parameters excepted."""

    def __init__(self, model: torch.nn.Module | None = None):
        self.sizes: dict[int, int] = {}
        parameters = [] if model is None else model.parameters()
        self.known = {p.untyped_storage().data_ptr() for p in parameters}
        self.alive: list[torch.Tensor] = []

    def __enter__(self) -> "Kept":
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.hooks.__exit__(*error)

    def _note(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.known:
            self.sizes[storage.data_ptr()] = storage.nbytes()
            self.alive.append(tensor)  # else its address could be given to another
        return tensor

    @property
    def total(self) -> int:
        return sum(self.sizes.values())


def model_of(folder: Path, lengths: tuple[int, int], **model) -> torch.nn.Module:
    """bert-base encoders with random weights, in bfloat16, in training."""
    config = load_config(config_file=PAPER)
    seconds, total = lengths
    dataset = {"bert_name": str(folder), "max_video_len": seconds, "max_len": total}
    config = OmegaConf.merge(config, {"dataset": dataset, "model": model})
    return build_model(config).to(torch.bfloat16).train()


def write_bert(folder: Path) -> None:
    """A folder that describes bert-base; its vocabulary is BERT's in size only."""
    words = len(SPECIAL + WORDS)
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n")
    config = {"model_type": "bert", "vocab_size": words, **SIZES["base"]}
    (folder / "config.json").write_text(json.dumps(config))


def sample(clips: int, lengths: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Clips and captions without padding, the most that there can be."""
    seconds, total = lengths
    words = total - seconds
    return {
        "caps": torch.randint(5, 3000, (clips, words)),
        "cmasks": torch.ones(clips, words, dtype=torch.bool),
        "vfeats": torch.randn(clips, seconds, 512, dtype=torch.bfloat16),
        "vmasks": torch.ones(clips, seconds, dtype=torch.bool),
    }


def encoder_bytes(folder: Path, lengths: tuple[int, int], **model) -> float:
    """Kept of one clip and its caption."""
    built = model_of(folder, lengths, **model)
    with Kept(built) as kept:
        built(**sample(CLIPS, lengths))
    return kept.total / CLIPS


def loss_bytes(clips: int, lengths: tuple[int, int], width: int = 768) -> int:
    """Kept by Norton's loss over so many clips, features included."""
    seconds, total = lengths
    frames, words = seconds + 2, total - seconds - 1
    loss = MMContraLoss(load_config(config_file=PAPER))
    features = {
        "pooled_video": torch.randn(clips, width),
        "pooled_text": torch.randn(clips, width),
        "video_outputs": torch.randn(clips, frames, width),
        "text_outputs": torch.randn(clips, words, width),
    }
    features = {n: x.to(torch.bfloat16).requires_grad_() for n, x in features.items()}
    masks = {
        "video_mask_outputs": torch.ones(clips, frames, dtype=torch.bool),
        "text_mask_outputs": torch.ones(clips, words, dtype=torch.bool),
    }
    with Kept() as kept:
        loss.compute(**features, **masks)
    return kept.total


def main(argv: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bert(folder)
        for title, lengths in LENGTHS.items():
            for layernorm_only in (True, False):
                for checkpointed in (False, True):
                    settings = {
                        "layernorm_only": layernorm_only,
                        "checkpoint_activations": checkpointed,
                    }
                    kept = encoder_bytes(folder, lengths, **settings) / MIB
                    print(f"{title}: {settings}: {kept:.2f} MiB a clip", flush=True)
        for clips in (256, 512, 1024, 2048):
            kept = loss_bytes(clips, LENGTHS["Norton (16 s, 32 words)"]) / MIB
            print(f"Norton's loss, {clips} clips: {kept:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
