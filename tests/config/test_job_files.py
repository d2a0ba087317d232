"""The job files hold exactly the keys and values of the paper's release."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT

PROJECTS = REPOSITORY_ROOT / "projects" / "retri"
NORTON = "runs/retri/norton"
VIDEOCLIP = "runs/retri/videoclip"


def flat(node, prefix=""):
    """Nested mapping -> {dotted key: value}."""
    leaves = {}
    for name, value in node.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def group(prefix, **values):
    return {f"{prefix}.{name}": value for name, value in values.items()}


def dataset(**values):
    return group("dataset", **values)


def processors(meta, video, text, aligner):
    return dataset(meta_processor=meta, video_processor=video, text_processor=text, aligner=aligner)


def model(cls="MMFusionSeparate", video="MMBertForEncoder"):
    return group(
        "model",
        model_cls=cls,
        mm_encoder_cls=None,
        video_encoder_cls=video,
        text_encoder_cls="BertModel",
        num_hidden_video_layers=6,
    )


def trainer(lr, warmup, epochs, batch_size):
    return (
        group("fairseq.common", tensorboard_logdir="run", log_interval=1000, fp16=True)
        | group("fairseq.dataset", num_workers=4, batch_size=batch_size)
        | group(
            "fairseq.optimization",
            lr=[lr],
            clip_norm=2.0,
            optimizer="adam",
            adam_betas="(0.9, 0.98)",
            lr_scheduler="polynomial_decay",
            total_num_update=1000000,
            warmup_updates=warmup,
            weight_decay=0.0,
            ddp_backend="no_c10d",
            max_epoch=epochs,
        )
    )


def restore(file):
    return group(
        "fairseq.checkpoint",
        restore_file=file,
        reset_optimizer=True,
        reset_dataloader=True,
        reset_meters=True,
    )


BERT = dataset(bert_name="bert-base-uncased")
LONG = dataset(num_iso_layer=12, max_video_len=32, max_len=96)


def evaluation(predictor, metric, batch_size=256, checkpoint=NORTON, save=f"{NORTON}/"):
    """What all evaluation files share, the lengths included."""
    named = {"fairseq.common_eval.path": f"{checkpoint}/checkpoint_best.pt"} if checkpoint else {}
    return (
        {"slurm_config": "big", "task_type": "local_predict", "dataset.split": "test"}
        | BERT
        | LONG
        | group("fairseq.dataset", batch_size=batch_size, valid_subset="test", num_workers=2)
        | named
        | {"eval.save_path": save, "predictor": predictor, "metric": metric}
    )


HOW2 = (
    BERT
    | processors(
        "ShardedHow2VideoRetriMetaProcessor",
        "ShardedVideoRetriVideoProcessor",
        "ShardedVideoRetriTextProcessor",
        "VideoRetriOverlappedAligner",
    )
    | dataset(
        train_path="data/how2/how2_s3d_train.lst",
        val_path="data/how2/how2_s3d_val.lst",
        vfeat_dir="data/feat/feat_how2_s3d_shard_small",
        tfeat_dir="data/feat/feat_how2_s3d_shard_small/sentencified_htm_1200k.bert-base-uncased.",
        subsampling=1,
        sampled_min_len=8,
        sampled_max_len=32,
        max_video_len=16,
        max_len=48,
        lazy_vfeat_mask=True,
        sampled_video_min_len=3,
        sampled_video_max_len=16,
        num_video_per_batch=64,
        clip_per_video=16,
    )
    | trainer(1e-5, 1000, 6, batch_size=1)
    | restore(f"{VIDEOCLIP}/checkpoint_best.pt")
    | group(
        "fairseq.checkpoint",
        save_dir=f"{NORTON}/",
        save_interval_updates=1024,
        keep_interval_updates=2,
        keep_last_epochs=50,
    )
    | {"task_type": "sweep_big", "slurm_config": "big", "eval.save_path": f"{NORTON}/"}
    | model()
    | {"model.layernorm_only": True, "loss.loss_cls": "MMContraLoss"}
    | group(
        "loss.sequence_contrast",
        sequence_contrast_weight=0.1,
        threshold=8,
        prompt_ratio=0.3,
        scale=0.1,
    )
    | group("loss", sinkhorn_iterations=50, beta=0.3, alpha_lse=1, fusion_weight=0.5)
    | {
        "task": "VideoRetriTask",
        "retri_epoch": 1,
        "centroids": 512,
        "examples_per_cent_to_train": 48,
        "vectorpool_cls": "VideoVectorPool",
        "retriever_cls": "VectorRetriever",
        "num_cands": 192,
    }
)

VIDEOCLIP_HOW2 = {
    name: value
    for name, value in HOW2.items()
    if not name.startswith(("loss.", "fairseq.checkpoint.re"))
    and name not in ("model.layernorm_only", "centroids", "examples_per_cent_to_train")
} | {
    "dataset.sampled_max_len": 64,
    "dataset.max_video_len": 32,
    "dataset.max_len": 96,
    "dataset.sampled_video_max_len": 32,
    "dataset.num_video_per_batch": 32,
    "dataset.tfeat_dir": "data/feat/feat_how2_s3d_shard_small/raw_caption_dedup.bert-base-uncased.",
    "dataset.mfm_probability": 0.15,
    "dataset.mlm_probability": 0.15,
    "dataset.mm_prob": 0.5,
    "fairseq.optimization.lr": [5e-5],
    "fairseq.optimization.max_epoch": 25,
    "fairseq.checkpoint.keep_last_epochs": 30,
    "fairseq.checkpoint.save_dir": VIDEOCLIP,
    "eval.save_path": VIDEOCLIP,
    "loss.loss_cls": "MMContraLoss",
    "num_cands": 64,
}

MSRVTT = processors("MSRVTTMetaProcessor", "VideoProcessor", "MSRVTTTextProcessor", "DSAligner")
MSRVTT_FEATURES = dataset(vfeat_dir="data/msrvtt/msrvtt_feature_fps30_512")
VTT_FT = (
    BERT
    | LONG
    | MSRVTT
    | MSRVTT_FEATURES
    | dataset(
        train_path="data/msrvtt/MSRVTT_train.9k.csv",
        jsfusion_path="data/msrvtt/MSRVTT_JSFUSION_test.csv",
        val_path="data/msrvtt/MSRVTT_JSFUSION_test.csv",
        dup=20,
        json_path="data/msrvtt/MSRVTT_data.json",
    )
    | trainer(5e-5, 122, 15, batch_size=512)
    | restore(f"{NORTON}/checkpoint_best.pt")
    | {"fairseq.checkpoint.save_dir": f"{NORTON}/vtt", "task_type": "sweep_small"}
    | model()
    | {"loss.loss_cls": "T2VContraLoss"}
)
VTTQA_FT = {name: v for name, v in VTT_FT.items() if name != "dataset.jsfusion_path"} | {
    "dataset.train_path": "data/msrvtt/MSRVTT_train.7k.csv",
    "fairseq.dataset.batch_size": 128,
    "fairseq.optimization.max_epoch": 8,
    "fairseq.checkpoint.save_dir": f"{NORTON}/vttqa",
    "loss.loss_cls": "V2TContraLoss",
}

COIN = processors(
    "COINActionSegmentationMetaProcessor",
    "VideoProcessor",
    "COINActionSegmentationTextProcessor",
    "COINActionSegmentationAligner",
) | dataset(vfeat_dir="data/coin/coin_feature_fps30_512", sliding_window_size=32)
COIN_MODEL = model("MMFusionSeparateActionSegmentation", "MMBertForTokenClassification")
COIN_FT = (
    BERT
    | LONG
    | COIN
    | dataset(train_path="data/coin/COIN.json", val_path="data/coin/COIN.json", sliding_window=8)
    | trainer(5e-5, 122, 8, batch_size=1)
    | restore(f"{NORTON}/checkpoint_best.pt")
    | {"fairseq.checkpoint.save_dir": f"{NORTON}/coin", "task_type": "sweep_big"}
    | COIN_MODEL
    | {"loss.loss_cls": "CrossEntropy"}
)
COIN_TEST = COIN | dataset(test_path="data/coin/COIN.json", sliding_window=16)

MSRVTT_TEST = (
    MSRVTT | MSRVTT_FEATURES | dataset(test_path="data/msrvtt/MSRVTT_JSFUSION_test.csv") | model()
)
QA_TEST = (
    processors(
        "MSRVTTQAMetaProcessor", "VideoProcessor", "MSRVTTQATextProcessor", "MSRVTTQAAligner"
    )
    | MSRVTT_FEATURES
    | dataset(test_path="data/msrvtt/MSR_MC_test.csv", max_video_len=16)
    | model()
)
YOUCOOK_DATA = dataset(
    test_path="data/youcook/youcook_val.pkl",
    trainval_annotation="data/youcook/youcookii_annotations_trainval.json",
    use_annotation_text=True,
    vfeat_dir="data/youcook/youcook_validation_feature_fps30_512",
)
YOUCOOK = YOUCOOK_DATA | processors(
    "YoucookMetaProcessor", "YoucookVideoProcessor", "TextProcessor", "DSAligner"
)
YOUCOOK_BG = (
    YOUCOOK_DATA
    | processors(
        "YoucookFullVideoBGMetaProcessor",
        "YoucookFullVideoBGProcessor",
        "YoucookFullVideoBGTextProcessor",
        "YoucookFullVideoBGAligner",
    )
    | dataset(sliding_window=16, sliding_window_size=16)
)

CROSSTASK_FOLDER = "data/crosstask/crosstask_release"
CROSSTASK = (
    BERT
    | LONG
    | processors(
        "CrossTaskMetaProcessor",
        "CrossTaskVideoProcessor",
        "CrossTaskTextProcessor",
        "CrossTaskAligner",
    )
    | dataset(
        train_csv_path=f"{CROSSTASK_FOLDER}/videos.csv",
        val_path=f"{CROSSTASK_FOLDER}/videos_val.csv",
        val_csv_path=f"{CROSSTASK_FOLDER}/videos_val.csv",
        primary_path=f"{CROSSTASK_FOLDER}/tasks_primary.txt",
        related_path=f"{CROSSTASK_FOLDER}/tasks_related.txt",
        annotation_path=f"{CROSSTASK_FOLDER}/annotations",
        vfeat_dir="data/feat/feat_crosstask_s3d",
        n_train=30,
        sliding_window=16,
        sliding_window_size=32,
    )
    | model("MMFusionSeparateActionLocalization")
)
CROSSTASK_FT = (
    CROSSTASK
    | dataset(train_path=f"{CROSSTASK_FOLDER}/videos.csv")
    | trainer(5e-5, 122, 5, batch_size=1)
    | {"task_type": "sweep_small", "loss.loss_cls": "BCE"}
)
DIDEMO = (
    processors("DiDeMoMetaProcessor", "VideoProcessor", "DiDeMoTextProcessor", "DiDeMoAligner")
    | dataset(test_path="data/didemo/test_data.json", vfeat_dir="data/feat/feat_didemo_s3d")
    | model()
)
CROSSTASK_TEST = CROSSTASK | dataset(test_path=f"{CROSSTASK_FOLDER}/videos_val.csv")

EXPECTED = {
    "norton/how2_pretrain": HOW2,
    "norton/vtt_ft": VTT_FT,
    "norton/vttqa_ft": VTTQA_FT,
    "norton/coin_ft": COIN_FT,
    "norton/test_vtt_zs": evaluation("RetrievalPredictor", "RetrievalMetric") | MSRVTT_TEST,
    "norton/test_vtt_ft": evaluation(
        "RetrievalPredictor",
        "RetrievalMetric",
        checkpoint=f"{NORTON}/vtt",
        save=f"{NORTON}/vtt/",
    )
    | MSRVTT_TEST,
    "norton/test_vttqa_zs": evaluation("QAPredictor", "QAMetric") | QA_TEST,
    "norton/test_vttqa_ft": evaluation(
        "QAPredictor", "QAMetric", checkpoint=f"{NORTON}/vttqa", save=f"{NORTON}/vttqa/"
    )
    | QA_TEST,
    "norton/test_youcook_zs": evaluation("RetrievalPredictor", "RetrievalMetric")
    | YOUCOOK
    | model(),
    "norton/test_youcook_fullvideo_zs": evaluation(
        "RetrievalPredictor", "FullVideoRetrievalMetric", save=f"{NORTON}/youcook/"
    )
    | YOUCOOK
    | model(),
    "norton/test_youcook_fullvideo_bg_zs": evaluation(
        "BGRetrievalPredictor", "FullVideoBGRetrievalMetric", batch_size=1
    )
    | YOUCOOK_BG
    | model("MMFusionSeparateFullVideoBGRetrieval"),
    "norton/test_coin_zs": evaluation(
        "COINZSPredictor", "COINActionSegmentationMetric", batch_size=1
    )
    | COIN_TEST
    | model(),
    "norton/test_coin_ft": evaluation(
        "COINPredictor",
        "COINActionSegmentationMetric",
        batch_size=1,
        checkpoint=f"{NORTON}/coin",
        save=f"{NORTON}/coin/",
    )
    | COIN_TEST
    | COIN_MODEL,
    "norton/test_how2align_zs": evaluation("HTMAlignPredictor", "HTMAlignMetric", checkpoint=None)
    | dataset(anno_path="data/how2-align/htm_align.json", vfeat_dir="data/how2-align/")
    | model(),
    "norton/test_didemo_zs": evaluation("DiDeMoPredictor", "DiDeMoMetric") | DIDEMO,
    "norton/crosstask_ft": CROSSTASK_FT
    | restore(f"{NORTON}/checkpoint_best.pt")
    | {"fairseq.checkpoint.save_dir": f"{NORTON}/crosstask"},
    "norton/test_crosstask_zs": evaluation("CrossTaskPredictor", "CrossTaskMetric", batch_size=1)
    | CROSSTASK_TEST,
    "norton/test_crosstask_ft": evaluation(
        "CrossTaskPredictor",
        "CrossTaskMetric",
        batch_size=1,
        checkpoint=f"{NORTON}/crosstask",
        save=f"{NORTON}/crosstask/",
    )
    | CROSSTASK_TEST,
    "videoclip/how2_pretrain": VIDEOCLIP_HOW2,
    "videoclip/test_didemo_zs": evaluation(
        "DiDeMoPredictor", "DiDeMoMetric", checkpoint=VIDEOCLIP, save=VIDEOCLIP
    )
    | DIDEMO,
    "videoclip/crosstask_videoclip": CROSSTASK_FT
    | restore(f"{VIDEOCLIP}/checkpoint_best.pt")
    | {"fairseq.checkpoint.save_dir": f"{VIDEOCLIP}/crosstask"},
    "videoclip/test_crosstask_videoclip": evaluation(
        "CrossTaskPredictor",
        "CrossTaskMetric",
        batch_size=1,
        checkpoint=f"{VIDEOCLIP}/crosstask",
        save=f"{VIDEOCLIP}/crosstask",
    )
    | CROSSTASK_TEST,
    "videoclip/test_crosstask_zs_videoclip": evaluation(
        "CrossTaskPredictor",
        "CrossTaskMetric",
        batch_size=1,
        checkpoint=VIDEOCLIP,
        save=VIDEOCLIP,
    )
    | CROSSTASK_TEST,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_keys_and_values(name):
    config = load_config(config_file=PROJECTS / f"{name}.yaml")
    assert flat(OmegaConf.to_container(config)) == EXPECTED[name]


def test_every_file_is_listed_and_complete():
    files = [*PROJECTS.glob("norton/*.yaml"), *PROJECTS.glob("videoclip/*.yaml")]
    assert {f"{file.parent.name}/{file.stem}" for file in files} == set(EXPECTED)
    for file in files:
        assert "includes" not in OmegaConf.load(file)
        assert Path(file).read_text().startswith("# ")
