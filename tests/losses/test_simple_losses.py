"""The small losses: stored cases, half precision, errors; the registry and the base class."""

import math

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.config.access import lookup
from mmpt.errors import ConfigError, DataError
from mmpt.losses import LOSSES, CrossEntropy, Loss, T2VContraLoss, V2TContraLoss
from mmpt.tasks import Task

CASES = [
    "T2VContraLoss", "V2TContraLoss", "CrossEntropy", "CrossEntropy_2d", "NCE",
    "ArgmaxCrossEntropy", "BCE", "BCE_soft", "MSE", "L1", "SmoothL1", "NLGLoss",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("case", CASES)
def test_stored_cases(golden, case, dtype):
    arrays = golden(f"losses_metrics/loss_{case}.npz")
    loss = LOSSES[arrays["settings"]["loss"]](OmegaConf.create({"loss": {}}))
    sample = {}
    for name, value in arrays.items():
        if name.startswith("in_"):
            tensor = torch.from_numpy(value)
            if tensor.is_floating_point():
                tensor = tensor.to(dtype)
                tensor.requires_grad_(f"out64_grad_{name.removeprefix('in_')}" in arrays)
            sample[name.removeprefix("in_")] = tensor
    total = loss(**sample, video_id=["ignored"])
    total.backward()
    found = {"total": total}
    found.update((f"grad_{n}", t.grad) for n, t in sample.items() if t.grad is not None)
    stored = {n.removeprefix("out64_"): v for n, v in arrays.items() if n.startswith("out64_")}
    assert found.keys() == stored.keys()
    for name, value in found.items():
        deviation = np.abs(value.detach().double().numpy() - stored[name]).max()
        limit = 1e-9 if dtype == torch.float64 else 1e-5
        assert deviation <= limit * np.abs(stored[name]).max(), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_single_precision_loss(dtype):
    video, text = torch.randn(6, 32).to(dtype), torch.randn(6, 32).to(dtype)
    for kind in (T2VContraLoss, V2TContraLoss):
        found = kind()(pooled_video=video, pooled_text=text)
        truth = kind()(pooled_video=video.double(), pooled_text=text.double())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), truth, rtol=1e-5, atol=1e-5)


def test_autocast_does_not_lower_the_precision():
    video, text = torch.randn(6, 32), torch.randn(6, 32)
    plain = T2VContraLoss()(pooled_video=video, pooled_text=text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = T2VContraLoss()(pooled_video=video, pooled_text=text)
    assert mixed.dtype == torch.float32 and mixed == plain


def test_errors():
    with pytest.raises(DataError, match=r"T2VContraLoss needs pooled_text.*present: pooled_video"):
        T2VContraLoss()(pooled_video=torch.rand(2, 3))
    with pytest.raises(DataError, match=r"pooled_video \(2, 3\) and pooled_text \(3, 3\)"):
        V2TContraLoss()(pooled_video=torch.rand(2, 3), pooled_text=torch.rand(3, 3))
    logits = torch.rand(2, 4, 5)
    with pytest.raises(DataError, match=r"logits \(2, 4, 5\) and targets \(7,\)"):
        CrossEntropy()(logits=logits, targets=torch.zeros(7, dtype=torch.long))
    with pytest.raises(DataError, match="all 8 are -100"):
        CrossEntropy()(logits=logits, targets=torch.full((2, 4), -100))
    with pytest.raises(DataError, match="classes from 0 to 5, 0 to 4 are allowed"):
        CrossEntropy()(logits=logits, targets=torch.arange(8).view(2, 4) % 6)


def scores(*shape):
    return torch.randn(*shape)


# one sample that each loss takes, and what a wrong one is told
SAMPLES = {
    "ArgmaxCrossEntropy": lambda: {"logits": scores(4, 5), "targets": torch.eye(5)[:4]},
    "BCE": lambda: {"logits": scores(4, 5), "targets": torch.rand(1, 4, 5)},
    "CrossEntropy": lambda: {"logits": scores(4, 5), "targets": torch.arange(4)},
    "DummyK400Loss": lambda: {"logits": scores(4, 400)},
    "DummyLoss": lambda: {"logits": scores(4, 5), "targets": torch.arange(4)},
    "L1": lambda: {"logits": scores(4, 5), "targets": scores(4, 5)},
    "MFMMLM": lambda: {
        "video_logits": scores(3, 6),
        "text_logits": scores(2, 9),
        "text_label": torch.tensor([[-100, 8], [4, -100]]),
    },
    "MMContraLoss": lambda: {"pooled_video": scores(4, 5), "pooled_text": scores(4, 5)},
    "MSE": lambda: {"logits": scores(4, 5), "targets": scores(4, 5)},
    "MTM": lambda: {
        "video_logits": scores(3, 10),
        "text_logits": scores(2, 9),
        "text_label": torch.tensor([[-100, 8], [4, -100]]),
    },
    "NCE": lambda: {"align_scores": scores(6, 2)},
    "NLGLoss": lambda: {"logits": scores(2, 9), "text_label": torch.tensor([[-100, 8], [4, -100]])},
    "SmoothL1": lambda: {"logits": scores(4, 5), "targets": scores(4, 5)},
    "T2VContraLoss": lambda: {"pooled_video": scores(4, 5), "pooled_text": scores(4, 5)},
    "V2TContraLoss": lambda: {"pooled_video": scores(4, 5), "pooled_text": scores(4, 5)},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_by_config_in_every_precision(name, dtype):
    task = Task(OmegaConf.create({"loss": {"loss_cls": name}, "dataset": {}}))
    loss = task.build_loss()
    assert type(loss) is LOSSES[name]
    sample = SAMPLES[name]()
    rounded = {
        n: x.to(dtype).requires_grad_(n != "targets") if x.is_floating_point() else x
        for n, x in sample.items()
    }
    torch.manual_seed(1)
    found = loss(**rounded, video_id=["ignored"])
    assert found.dtype == torch.float32 and found.shape == ()
    wide = {n: x.detach().double() if x.is_floating_point() else x for n, x in rounded.items()}
    torch.manual_seed(1)
    torch.testing.assert_close(found.double(), loss(**wide), rtol=1e-5, atol=1e-6)
    found.backward()
    for tensor in rounded.values():
        if tensor.requires_grad:
            assert tensor.grad.dtype == dtype and tensor.grad.isfinite().all()


def changed(name, **changes):
    return {**SAMPLES[name](), **changes}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("NCE", {"align_scores": scores(5, 2)}, r"align_scores \(5, 2\): \[2B, 2\] is needed"),
        ("NCE", {"align_scores": scores(6)}, r"align_scores \(6,\)"),
        ("NCE", {"align_scores": scores(4, 1)}, r"align_scores \(4, 1\): \[2B, 2\] is needed"),
        ("NCE", {"align_scores": scores(4, 0)}, r"align_scores \(4, 0\): \[2B, 2\] is needed"),
        ("NCE", {"align_scores": scores(4, 3)}, r"align_scores \(4, 3\)"),
        ("NCE", {"align_scores": scores(0, 2)}, r"align_scores \(0, 2\)"),
        ("BCE", {"targets": torch.rand(4, 6)}, r"logits \(4, 5\) and targets \(4, 6\) do not fit"),
        ("BCE", {"targets": torch.rand(2, 4, 5)}, r"targets \(2, 4, 5\)"),
        ("BCE", {"targets": torch.full((4, 5), 2.0)}, "values from 2 to 2, 0 to 1 are allowed"),
        ("MSE", {"targets": scores(4, 1)}, r"logits \(4, 5\) and targets \(4, 1\)"),
        ("L1", {"targets": scores(5)}, r"targets \(5,\) do not fit"),
        ("SmoothL1", {"logits": scores(0), "targets": scores(0)}, "not empty, is needed"),
        ("ArgmaxCrossEntropy", {"targets": torch.arange(4)}, r"targets \(4,\)"),
        ("ArgmaxCrossEntropy", {"logits": scores(5)}, r"logits \(5,\): \[rows, classes\]"),
        ("NLGLoss", {"logits": scores(3, 9)}, r"logits \(3, 9\) and text_label \(2,\)"),
        ("NLGLoss", {"logits": scores(2, 8)}, "text_label: got classes from 4 to 8, 0 to 7"),
        ("CrossEntropy", {"targets": scores(4)}, "targets: got torch.float32, classes as whole"),
        (
            "CrossEntropy",
            {"logits": scores(2, 0), "targets": torch.tensor([0, 0])},
            r"logits \(2, 0\): \[..., classes\] is needed, none of them 0",
        ),
        ("CrossEntropy", {"logits": torch.tensor(1.0)}, r"logits \(\): \[..., classes\] is needed"),
        ("CrossEntropy", {"targets": [0, 1, 2, 3]}, "needs targets as a tensor, got list"),
        ("MSE", {"logits": 1.0}, "MSE needs logits as a tensor, got float"),
        (
            "MMContraLoss",
            {"pooled_text": scores(4, 5).double()},
            r"pooled_video is torch.float32 and pooled_text torch.float64: float64 is needed on",
        ),
        ("T2VContraLoss", {"pooled_video": scores(4, 5).double()}, "pooled_video is torch.float64"),
        ("DummyK400Loss", {"logits": scores(4, 5)}, r"\(4, 5\): DummyK400Loss draws from 400"),
        ("MFMMLM", {"text_logits": scores(3, 9)}, "2 labels are not -100, one row for each"),
        ("MFMMLM", {"text_label": torch.tensor([[9, 8]])}, "classes from 8 to 9, 0 to 8"),
        ("MFMMLM", {"video_logits": scores(3)}, r"video_logits \(3,\): \[masked positions"),
        ("MTM", {"video_logits": scores(3, 9)}, "the video's rows have one column more"),
        ("MTM", {"text_logits": None}, "MTM needs text_logits"),
        ("MSE", {"targets": torch.full((4, 5), torch.nan)}, "targets: NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(name, changes, message):
    with pytest.raises(DataError, match=message) as error:
        LOSSES[name]({"loss": {}})(**changed(name, **changes))
    assert "\n" not in str(error.value)


def test_leading_one_of_binary_targets():
    sample = SAMPLES["BCE"]()
    flat = {**sample, "targets": sample["targets"][0]}
    assert LOSSES["BCE"]()(**sample) == LOSSES["BCE"]()(**flat)
    # a batch that is one row itself keeps it
    one = {"logits": sample["logits"][:1], "targets": sample["targets"][0, :1]}
    truth = torch.nn.functional.binary_cross_entropy(one["logits"].sigmoid(), one["targets"])
    torch.testing.assert_close(LOSSES["BCE"]()(**one), truth)
    hard = (sample["targets"] > 0.5).long()
    torch.testing.assert_close(
        LOSSES["BCE"]()(logits=sample["logits"], targets=hard),
        LOSSES["BCE"]()(logits=sample["logits"], targets=hard.float()),
    )


def test_classes_of_dummy_labels_are_drawn_anew():
    loss, logits = LOSSES["DummyK400Loss"](), torch.zeros(8, 400)
    logits[:, :200] = 3.0
    assert loss(logits=logits) != loss(logits=logits)
    assert loss(logits=torch.zeros(8, 400)).item() == pytest.approx(math.log(400))


# ------------------------------------------------------------- masked frames and words


def negative_log_softmax(row, target):
    return -(row[target].exp() / row.exp().sum()).log()


def test_masked_losses_by_loops():
    sample = {n: x.double() if n != "text_label" else x for n, x in SAMPLES["MTM"]().items()}
    words = [8, 4]
    rows = [negative_log_softmax(row, 0) for row in sample["video_logits"]]
    mlm = [
        negative_log_softmax(row, word)
        for row, word in zip(sample["text_logits"], words, strict=True)
    ]
    output = LOSSES["MFMMLM"]().compute(**sample)
    torch.testing.assert_close(output.total, sum(rows) / 3 + sum(mlm) / 2)
    torch.testing.assert_close(output.parts["loss_mfm"], sum(rows) / 3)
    longer = [torch.cat([row, row.new_zeros(1)]) for row in sample["text_logits"]]
    rows += [negative_log_softmax(row, word) for row, word in zip(longer, words, strict=True)]
    torch.testing.assert_close(LOSSES["MTM"]()(**sample), sum(rows) / 5)


@pytest.mark.parametrize("name", ["MFMMLM", "MTM"])
def test_batches_in_which_one_side_has_no_mask(name):
    loss, sample = LOSSES[name](), SAMPLES[name]()
    width = sample["video_logits"].shape[1]
    no_words = {"text_logits": torch.zeros(0, 9), "text_label": torch.full((2, 2), -100)}
    only_frames = {**sample, **no_words}
    first = torch.zeros(3, dtype=torch.long)
    wanted = torch.nn.functional.cross_entropy(sample["video_logits"], first)
    torch.testing.assert_close(loss(**only_frames), wanted)
    only_words = {**sample, "video_logits": torch.zeros(0, width, requires_grad=True)}
    loss(**only_words).backward()
    with pytest.raises(DataError, match="no frame and no word of the batch is masked"):
        loss(**{**only_words, **no_words})


def test_registry():
    assert set(LOSSES) == set(SAMPLES)
    assert all(issubclass(kind, Loss) and name == kind.__name__ for name, kind in LOSSES.items())
    message = r"loss.loss_cls: unknown name 'MMContrLoss'.*MMContraLoss"
    with pytest.raises(ConfigError, match=message):
        lookup(LOSSES, "MMContrLoss", "loss.loss_cls")
