"""Released job files from annotation to the stored predictions and numbers.

The files are those of `projects/retri/norton`; annotation, features and weights are the stored
ones.  Of CrossTask only logits and seconds are stored (test_crosstask.py); HTM-Align has its own
(tests/cli/test_eval_align.py).
"""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.io.pickles import save_pickle
from mmpt_cli.predict import load_job
from tests.models.conftest import written_rule

from .published import described

SEED_OF_SEGMENTATION = 810
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture
def stored(golden):
    return golden("models_data/predictors.npz")


@pytest.fixture
def facts(golden_dir):
    return described(golden_dir)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def device(request):
    return request.param


@pytest.fixture
def evaluated(tmp_path, tinybert, stored, golden_dir, device):
    """`evaluated("test_vtt_zs", "vtt", test_path=...)`: predictions and numbers of a job file."""

    def run(name, features, **dataset):
        folder = tmp_path / "features"
        folder.mkdir()
        for key in stored:
            if key.startswith(f"{features}.feat."):
                np.save(folder / f"{key.removeprefix(f'{features}.feat.')}.npy", stored[key])
        own = {"bert_name": str(tinybert), "vfeat_dir": str(folder), **dataset}
        config = OmegaConf.merge(
            load_config(config_file=REPOSITORY_ROOT / f"projects/retri/norton/{name}.yaml"),
            {
                "dataset": own,
                "model": {"num_hidden_video_layers": 2},
                "fairseq": {"dataset": {"num_workers": 0}},
                "eval": {"save_path": str(tmp_path / "eval")},
            },
        )
        job = load_job(tmp_path / f"{name}.yaml", config)
        model = job.task.build_model()
        if name == "test_coin_ft":
            state = written_rule(model, SEED_OF_SEGMENTATION)
        else:
            path = golden_dir / "models_data/pred_separate_state.pt"
            state = torch.load(path, weights_only=True)
        model.load_state_dict(state, strict=False)
        model.to(device)
        outputs = job.evaluator.predictor.predict_loop(model, job.loader, "merged")
        return outputs, job.evaluator.metric.compute_metrics(**outputs)

    return run


def close(found, wanted):
    return np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_msrvtt(evaluated, stored, facts, tmp_path):
    table = written(tmp_path / "test.csv", "\n".join(facts["vtt_csv"]))
    outputs, metrics = evaluated("test_vtt_zs", "vtt", test_path=table)
    assert close(outputs["outputs"], stored["vtt.outputs"])
    assert metrics.items() >= facts["vtt"]["metrics"].items()
    assert outputs["texts"] == facts["vtt"]["texts"]


def test_msrvtt_qa(evaluated, stored, facts, tmp_path):
    table = written(tmp_path / "qa.csv", "\n".join(facts["qa_tsv"]))
    outputs, metrics = evaluated("test_vttqa_zs", "vtt", test_path=table)
    assert close(outputs["scores"], stored["qa.scores"])
    assert outputs["outputs"].tolist() == stored["qa.outputs"].tolist()
    assert outputs["targets"].tolist() == stored["qa.targets"][:, 0].tolist()
    assert metrics == facts["qa"]


@pytest.mark.parametrize("step", [8, 16])
@pytest.mark.parametrize("kind", ["ft", "zs"])
def test_coin(evaluated, stored, facts, tmp_path, kind, step):
    path = written(tmp_path / "COIN.json", facts["coin_json"])
    outputs, metrics = evaluated(f"test_coin_{kind}", "coin", test_path=path, sliding_window=step)
    for name in ("outputs", "targets"):
        assert outputs[name].tolist() == stored[f"coin_{kind}{step}.{name}"].tolist()
    assert metrics["frame_acc"] == pytest.approx(facts[f"coin_{kind}{step}"]["frame_acc"])


@pytest.fixture
def recipes(tmp_path, facts):
    """The paths of YouCook2's files."""
    save_pickle(tmp_path / "youcook_val.pkl", facts["yc_recs"])
    return {
        "test_path": str(tmp_path / "youcook_val.pkl"),
        "trainval_annotation": written(tmp_path / "annotations.json", facts["yc_annotations"]),
    }


def test_youcook_clips(evaluated, stored, facts, recipes):
    outputs, metrics = evaluated("test_youcook_zs", "yc", **recipes)
    assert close(outputs["outputs"], stored["yc.outputs"])
    assert outputs["texts"] == facts["yc"]["texts"]
    assert list(outputs["video_ids"]) == facts["yc"]["video_ids"]
    assert metrics.items() >= facts["yc"]["metrics"].items()


def test_youcook_full_videos(evaluated, facts, recipes):
    _, metrics = evaluated("test_youcook_fullvideo_zs", "yc", **recipes)
    assert metrics.items() >= facts["yc_fullvideo"].items()


def test_youcook_with_background(evaluated, stored, facts, recipes):
    outputs, metrics = evaluated("test_youcook_fullvideo_bg_zs", "yc", **recipes)
    assert close(outputs["outputs"], stored["ycbg.outputs"])
    assert {name: list(outputs[name]) for name in facts["ycbg"]} == facts["ycbg"]
    assert metrics.items() >= facts["ycbg_metric"].items()


def test_didemo(evaluated, facts, tmp_path):
    path = written(tmp_path / "test_data.json", facts["dd_json"])
    outputs, metrics = evaluated("test_didemo_zs", "dd", test_path=path)
    wanted = [[tuple(moment) for moment in row] for row in facts["dd"]["outputs"]]
    assert outputs["outputs"] == wanted
    assert metrics == pytest.approx(facts["dd"]["metrics"])
