"""The class names that a job file may hold, key by key.

A job file is checked before anything is loaded, and the registries (`mmpt.models.MODELS`, …) stand
in modules that take seconds to import: so their names are written down here once more, and a test
keeps both equal.  A class of your own goes into the registry of its role and into this list.
"""

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "task": (
        "Task",
        "VideoRetriTask",
    ),
    "vectorpool_cls": (
        "DistributedVideoVectorPool",
        "VideoVectorPool",
    ),
    "retriever_cls": (
        "VectorRetriever",
        "VectorRetrieverDM",
    ),
    "dataset.meta_processor": (
        "HTMAlignMetaProcessor",
        "How2MetaProcessor",
        "MSRVTTMetaProcessor",
        "ShardedHow2MetaProcessor",
        "ShardedHow2VideoRetriMetaProcessor",
    ),
    "dataset.video_processor": (
        "ShardedVideoProcessor",
        "ShardedVideoRetriVideoProcessor",
        "VideoProcessor",
    ),
    "dataset.text_processor": (
        "HTMAlignTextProcessor",
        "MSRVTTTextProcessor",
        "PKLJSONStrTextProcessor",
        "ShardedTextProcessor",
        "ShardedVideoRetriTextProcessor",
        "TextProcessor",
    ),
    "dataset.aligner": (
        "DSAligner",
        "FixedLenAligner",
        "HTMAlignAligner",
        "OverlappedAligner",
        "StartClipAligner",
        "VariedLenAligner",
        "VideoRetriAligner",
        "VideoRetriOverlappedAligner",
    ),
    "model.model_cls": (
        "MMFusionActionLocalization",
        "MMFusionActionSegmentation",
        "MMFusionJoint",
        "MMFusionMFMMLM",
        "MMFusionMTM",
        "MMFusionNLG",
        "MMFusionSeparate",
        "MMFusionSeparateActionLocalization",
        "MMFusionSeparateActionSegmentation",
        "MMFusionSeparateFullVideoBGRetrieval",
        "MMFusionShare",
        "MMFusionShareActionLocalization",
    ),
    "model.mm_encoder_cls": (
        "MMBertForEncoder",
        "MMBertForJoint",
        "MMBertForMFMMLM",
        "MMBertForMTM",
        "MMBertForNLG",
        "MMBertForTokenClassification",
    ),
    "model.video_encoder_cls": (
        "MMBertForEncoder",
        "MMBertForTokenClassification",
    ),
    "model.text_encoder_cls": ("BertModel",),
    "loss.loss_cls": (
        "ArgmaxCrossEntropy",
        "BCE",
        "CrossEntropy",
        "DummyK400Loss",
        "DummyLoss",
        "L1",
        "MFMMLM",
        "MMContraLoss",
        "MSE",
        "MTM",
        "NCE",
        "NLGLoss",
        "SmoothL1",
        "T2VContraLoss",
        "V2TContraLoss",
    ),
    "predictor": (
        "HTMAlignPredictor",
        "RetrievalPredictor",
    ),
    "metric": (
        "HTMAlignMetric",
        "RetrievalMetric",
    ),
}
"""Key -> the names of its registry."""

NOT_YET: dict[str, tuple[str, ...]] = {
    "task": (
        "MILNCETask",
        "VLMTask",
    ),
    "dataset.meta_processor": (
        "COINActionSegmentationMetaProcessor",
        "CrossTaskMetaProcessor",
        "DiDeMoMetaProcessor",
        "MSRVTTQAMetaProcessor",
        "YoucookFullVideoBGMetaProcessor",
        "YoucookMetaProcessor",
        "YoucookNLGMetaProcessor",
    ),
    "dataset.video_processor": (
        "CrossTaskVideoProcessor",
        "YoucookFullVideoBGProcessor",
        "YoucookVideoProcessor",
    ),
    "dataset.text_processor": (
        "COINActionSegmentationTextProcessor",
        "CrossTaskTextProcessor",
        "DiDeMoTextProcessor",
        "MSRVTTQATextProcessor",
        "YoucookFullVideoBGTextProcessor",
    ),
    "dataset.aligner": (
        "COINActionSegmentationAligner",
        "CrossTaskAligner",
        "DSNLGAligner",
        "DiDeMoAligner",
        "How2MILNCEAligner",
        "MFMMLMAligner",
        "MSRVTTQAAligner",
        "YoucookFullVideoBGAligner",
    ),
    "predictor": (
        "BGRetrievalPredictor",
        "COINPredictor",
        "COINZSPredictor",
        "CrossTaskPredictor",
        "DiDeMoPredictor",
        "NLGPredictor",
        "QAPredictor",
    ),
    "metric": (
        "ActionRecognitionMetric",
        "COINActionSegmentationMetric",
        "CrossTaskMetric",
        "DiDeMoMetric",
        "FullVideoBGRetrievalMetric",
        "FullVideoRetrievalMetric",
        "NLGMetric",
        "QAMetric",
    ),
}
"""Key -> names of published job files whose classes this version does not have: such a file can be
read and its command printed, but not run."""


METRICS_OF: dict[str, tuple[str, ...]] = {
    "BGRetrievalPredictor": ("FullVideoBGRetrievalMetric",),
    "COINPredictor": ("COINActionSegmentationMetric",),
    "COINZSPredictor": ("COINActionSegmentationMetric",),
    "CrossTaskPredictor": ("CrossTaskMetric",),
    "DiDeMoPredictor": ("DiDeMoMetric",),
    "HTMAlignPredictor": ("HTMAlignMetric",),
    "NLGPredictor": ("NLGMetric",),
    "QAPredictor": ("QAMetric",),
    "RetrievalPredictor": ("RetrievalMetric", "FullVideoRetrievalMetric"),
}
"""Predictor -> the metrics that take what it returns; those of one's own may go with any."""

ONE_ENCODER: dict[str, bool] = {
    **dict.fromkeys(
        (
            "MMFusionActionLocalization",
            "MMFusionActionSegmentation",
            "MMFusionJoint",
            "MMFusionMFMMLM",
            "MMFusionMTM",
            "MMFusionNLG",
            "MMFusionShare",
            "MMFusionShareActionLocalization",
        ),
        True,
    ),
    **dict.fromkeys(
        (
            "MMFusionSeparate",
            "MMFusionSeparateActionLocalization",
            "MMFusionSeparateActionSegmentation",
            "MMFusionSeparateFullVideoBGRetrieval",
        ),
        False,
    ),
}
"""Model -> whether it has one encoder for video and text (`mm_encoder_cls`), or two."""


def known_names(key: str) -> tuple[str, ...] | None:
    """Every name that a key may hold, sorted; None for a key that names no class."""
    if key not in CLASS_NAMES and key not in NOT_YET:
        return None
    return tuple(sorted({*CLASS_NAMES.get(key, ()), *NOT_YET.get(key, ())}))
