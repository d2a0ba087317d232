"""All stored cases of the Norton loss: every array, double and single precision, both forms."""

import numpy as np
import pytest
import torch

from mmpt.losses import MMContraLoss
from mmpt.losses.nce import clip_caption_contrast
from mmpt.losses.similarity import Features

CASES = [
    "a_clsmask", "a_nomask", "b_ragged", "c_len16", "d_biglogits", "sweep_alpha0.1", "sweep_alpha2",
    "sweep_beta0", "sweep_beta1", "sweep_fusion0", "sweep_fusion2", "sweep_iter1", "sweep_iter200",
    "sweep_iter5", "sweep_len16", "sweep_len32", "sweep_len4", "sweep_mix", "sweep_prompt0.1",
    "sweep_prompt0.5", "sweep_prompt1.0", "sweep_scale0.05", "sweep_scale1.0", "sweep_seqw1",
    "sweep_seqwnull", "sweep_standard",
]  # fmt: skip
NOT_A_TARGET = {"total_default32"}
INPUTS = ("pooled_video", "pooled_text", "video_outputs", "text_outputs")


def job(settings: dict, **loss) -> dict:
    sequence = {
        name: settings[name]
        for name in ("sequence_contrast_weight", "threshold", "prompt_ratio", "scale")
    }
    section = {
        name: settings[name]
        for name in ("sinkhorn_iterations", "beta", "alpha_lse", "fusion_weight")
    }
    return {
        "loss": {"loss_cls": "MMContraLoss", "sequence_contrast": sequence, **section, **loss},
        "dataset": {"clip_per_video": settings["clip_per_video"]},
    }


def everything(arrays: dict, dtype: torch.dtype, implementation: str) -> dict[str, torch.Tensor]:
    """Every stored quantity, computed by the library."""
    loss = MMContraLoss(job(arrays["settings"]["settings"], implementation=implementation))
    tensors = {
        name: torch.from_numpy(arrays[f"in_{name}"]).to(dtype).requires_grad_() for name in INPUTS
    }
    masks = {
        f"{side}_mask_outputs": torch.from_numpy(arrays[f"in_{side}_mask"])
        for side in ("video", "text")
    }
    if loss.sequence_contrast is not None:
        loss.sequence_contrast.logit_scale.requires_grad_()
    output = loss.compute(**tensors, **masks, idx=[0], video_id=["ignored"])
    output.total.backward()
    found = {"total": output.total}
    for name, tensor in tensors.items():
        found[f"grad_{name}"] = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad

    clips = clip_caption_contrast(
        tensors["pooled_video"], tensors["pooled_text"], loss.beta, loss.iterations, implementation
    )
    found.update(loss_v2t=clips.loss_v2t, loss_t2v=clips.loss_t2v)
    if clips.targets is not None:
        found["q"] = clips.targets
    if loss.sequence_contrast is not None:
        features = Features(*tensors.values(), *masks.values())
        sequences = loss.sequence_contrast.contrast(features)
        pairs, plans = sequences.similarity, sequences.transport
        length = loss.sequence_contrast.settings.length
        found.update(
            grad_logit_scale=loss.sequence_contrast.logit_scale.grad,
            temperature=output.parts["temperature"],
            loss_seq=sequences.loss,
            loss_seq_rows=sequences.loss_rows,
            loss_seq_cols=sequences.loss_columns,
            loss_seq_weighted=loss.weight * sequences.loss,
            avg_raw=pairs.coarse_raw,
            avg_norm=pairs.coarse,
            lse_t2v_raw=pairs.fine_raw.text_to_video,
            lse_t2v_norm=pairs.text_to_video,
            lse_v2t_raw=pairs.fine_raw.video_to_text,
            lse_v2t_norm=pairs.video_to_text,
            fused=pairs.fused,
            prompt_value=sequences.bucket.value,
            prompt_k=torch.tensor(sequences.bucket.rank),
            plan=plans.plan.reshape(-1, length, length),
            mass=plans.mass.flatten(),
            plan_rescaled=plans.rescaled.reshape(-1, length, length),
            para_logits=sequences.logits,
        )
    return found


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("case", CASES)
def test_every_stored_array(golden, case, dtype, implementation):
    arrays = golden(f"losses_metrics/norton_{case}.npz")
    found = everything(arrays, dtype, implementation)
    stored = {
        name.removeprefix("out64_"): np.asarray(value, np.float64)
        for name, value in arrays.items()
        if name.startswith("out64_")
    }
    assert stored.keys() - NOT_A_TARGET == found.keys()
    spread = arrays["settings"]["fp32_dev"]
    for name, value in found.items():
        mine = value.detach().double().numpy()
        assert mine.shape == stored[name].shape, name
        largest = np.abs(stored[name]).max()
        deviation = np.abs(mine - stored[name]).max() / (largest if largest > 0 else 1.0)
        single = max(1e-5, 10 * spread.get(name, 0.0))
        assert deviation <= (1e-9 if dtype == torch.float64 else single), (name, deviation)


def test_gradients_at_masked_positions_are_exactly_zero(golden):
    arrays = golden("losses_metrics/norton_b_ragged.npz")
    for implementation in ("reference", "chunked"):
        found = everything(arrays, torch.float32, implementation)
        for side in ("video", "text"):
            valid = torch.from_numpy(arrays[f"in_{side}_mask"])
            gradient = found[f"grad_{side}_outputs"]
            assert (gradient[~valid] == 0).all()
            assert (gradient[valid] != 0).any()


HALF = {torch.bfloat16: 5e-3, torch.float16: 1e-3}
SIMILARITIES = ("avg_norm", "lse_t2v_norm", "lse_v2t_norm", "fused")


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("dtype", HALF, ids=["bf16", "fp16"])
@pytest.mark.parametrize(
    "case",
    [
        "a_clsmask", "a_nomask", "b_ragged", "c_len16", "d_biglogits", "sweep_alpha0.1",
        "sweep_alpha2", "sweep_mix", "sweep_scale0.05",
    ],
)  # fmt: skip
def test_half_precision_features(golden, case, dtype, implementation):
    """The stored similarities of the features before they were rounded to half precision."""
    arrays = golden(f"losses_metrics/norton_{case}.npz")
    found = everything(arrays, dtype, implementation)
    for name in SIMILARITIES:
        assert found[name].dtype == torch.float32
        deviation = np.abs(found[name].detach().double().numpy() - arrays[f"out64_{name}"]).max()
        assert deviation <= HALF[dtype], name
    assert found["total"].dtype == torch.float32 and found["total"].isfinite()
    for name in INPUTS:
        gradient = found[f"grad_{name}"]
        assert gradient.dtype == dtype and gradient.isfinite().all() and gradient.any()
