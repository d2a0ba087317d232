"""Every key of the section `dataset`: processors, paths, lengths and sampling."""

from dataclasses import dataclass

from mmpt.config.keys import key

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class DatasetSection:
    """`dataset`: what data, read and cut how.  Processors and aligners are built with it."""

    # who reads
    split: str | None = key("which split is read; not set: training", choices=SPLITS)
    meta_processor: str | None = key("class that lists the items of a split")
    video_processor: str | None = key("class that reads a video's features")
    text_processor: str | None = key("class that reads or tokenises a text")
    aligner: str | None = key("class that turns features and texts into model input")
    bert_name: str | None = key("BERT: hub name, or local folder in Hugging Face layout")
    use_fast: bool | None = key("the tokenizer's fast implementation", True)

    # where from
    train_path: str | None = key("list or table of the training split", unit="path")
    val_path: str | None = key("list or table of the validation split", unit="path")
    test_path: str | None = key("list or table of the test split", unit="path")
    vfeat_dir: str | None = key("folder of the video features", unit="path of a folder")
    tfeat_dir: str | None = key("prefix of the text shards, ends in a dot", unit="path prefix")
    json_path: str | None = key("MSR-VTT: all captions", unit="path")
    jsfusion_path: str | None = key("MSR-VTT: the test table of 1,000 pairs", unit="path")
    full_test_path: str | None = key("MSR-VTT: the full test table, joins training", unit="path")
    dup: int | None = key("how often the training table is repeated", low=1, unit="times")
    trainval_annotation: str | None = key("YouCook2: segments and sentences", unit="path")
    use_annotation_text: bool | None = key("YouCook2: the annotation's sentence, not the caption")
    anno_path: str | None = key("HTM-Align: annotated sentences", unit="path")
    annotation_path: str | None = key(
        "CrossTask: folder of the annotations", unit="path of a folder"
    )
    caption_pkl_path: str | None = key("captions that the token extractor reads", unit="path")
    target_dir: str | None = key("where the extractor writes shards", unit="path of a folder")
    train_csv_path: str | None = key(
        "CrossTask: the videos that training and test are drawn from", unit="path"
    )
    val_csv_path: str | None = key("CrossTask: videos kept out of training and test", unit="path")
    primary_path: str | None = key("CrossTask: primary tasks and their steps", unit="path")
    related_path: str | None = key(
        "CrossTask: related tasks; not read, since they are not annotated", unit="path"
    )
    n_train: int | None = key(
        "CrossTask: training videos of a task, the others are the test", low=1, unit="videos"
    )
    num_labels: int | None = key("labels of a classifier, background included", 779, low=1)

    # how long
    vfeat_dim: int | None = key("width of a video feature", 512, low=1)
    max_video_len: int | None = key(
        "video tokens of an input", low=1, unit="seconds = video tokens"
    )
    max_len: int | None = key(
        "video and text tokens of an input, at least four more than max_video_len", low=1
    )
    num_iso_layer: int | None = key("joint models: layers in which the modalities do not meet")
    sliding_window: int | None = key("step between windows of a long video", low=1, unit="seconds")
    sliding_window_size: int | None = key(
        "length of a window, at most max_video_len", low=1, unit="seconds"
    )

    # how sampled
    subsampling: int | None = key(
        "clips drawn from an item; divides the trainer's batch size", low=1, unit="clips"
    )
    clip_per_video: int | None = key(
        "clips drawn from a video; in the aligner it replaces subsampling", low=1, unit="clips"
    )
    num_video_per_batch: int | None = key("videos of one batch item", low=1, unit="videos")
    sampled_min_len: int | None = key("shortest text drawn", low=1, unit="text tokens")
    sampled_max_len: int | None = key("longest text drawn", low=1, unit="text tokens")
    sampled_video_min_len: int | None = key("shortest clip drawn", low=1, unit="seconds")
    sampled_video_max_len: int | None = key("longest clip drawn", low=1, unit="seconds")
    keep_prob: float | None = key(
        "probability of taking the next neighbouring caption, not skipping it, while text grows",
        1.0,
        low=0,
        high=1,
    )

    # masking (VideoCLIP's and VLM's objectives)
    lazy_vfeat_mask: bool | None = key("frames are masked in the model, not in the loader")
    mfm_probability: float | None = key("probability of masking a frame", low=0, high=1)
    mlm_probability: float | None = key("probability of masking a word", low=0, high=1)
    mm_prob: float | None = key("probability of masking one whole modality", low=0, high=1)
    mm_type: str | None = key("kind of that masking", choices=("full", "textgen"))
