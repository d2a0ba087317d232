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
        "COINActionSegmentationMetaProcessor",
        "CrossTaskMetaProcessor",
        "DiDeMoMetaProcessor",
        "HTMAlignMetaProcessor",
        "How2MetaProcessor",
        "MSRVTTMetaProcessor",
        "MSRVTTQAMetaProcessor",
        "ShardedHow2MetaProcessor",
        "ShardedHow2VideoRetriMetaProcessor",
        "YoucookFullVideoBGMetaProcessor",
        "YoucookMetaProcessor",
    ),
    "dataset.video_processor": (
        "CrossTaskVideoProcessor",
        "ShardedVideoProcessor",
        "ShardedVideoRetriVideoProcessor",
        "VideoProcessor",
        "YoucookFullVideoBGProcessor",
        "YoucookVideoProcessor",
    ),
    "dataset.text_processor": (
        "COINActionSegmentationTextProcessor",
        "CrossTaskTextProcessor",
        "DiDeMoTextProcessor",
        "HTMAlignTextProcessor",
        "MSRVTTQATextProcessor",
        "MSRVTTTextProcessor",
        "PKLJSONStrTextProcessor",
        "ShardedTextProcessor",
        "ShardedVideoRetriTextProcessor",
        "TextProcessor",
        "YoucookFullVideoBGTextProcessor",
    ),
    "dataset.aligner": (
        "COINActionSegmentationAligner",
        "CrossTaskAligner",
        "DSAligner",
        "DiDeMoAligner",
        "FixedLenAligner",
        "HTMAlignAligner",
        "MSRVTTQAAligner",
        "OverlappedAligner",
        "StartClipAligner",
        "VariedLenAligner",
        "VideoRetriAligner",
        "VideoRetriOverlappedAligner",
        "YoucookFullVideoBGAligner",
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
        "BGRetrievalPredictor",
        "COINPredictor",
        "COINZSPredictor",
        "CrossTaskPredictor",
        "DiDeMoPredictor",
        "HTMAlignPredictor",
        "QAPredictor",
        "RetrievalPredictor",
    ),
    "metric": (
        "ActionRecognitionMetric",
        "COINActionSegmentationMetric",
        "CrossTaskMetric",
        "DiDeMoMetric",
        "FullVideoBGRetrievalMetric",
        "FullVideoRetrievalMetric",
        "HTMAlignMetric",
        "QAMetric",
        "RetrievalMetric",
    ),
}
"""Key -> the names of its registry."""

NOT_YET: dict[str, tuple[str, ...]] = {
    "task": (
        "MILNCETask",
        "VLMTask",
    ),
    "dataset.meta_processor": ("YoucookNLGMetaProcessor",),
    "dataset.aligner": (
        "DSNLGAligner",
        "How2MILNCEAligner",
        "MFMMLMAligner",
    ),
    "predictor": ("NLGPredictor",),
    "metric": ("NLGMetric",),
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

MODELS_OF: dict[str, tuple[str, ...]] = {
    "BGRetrievalPredictor": ("MMFusionSeparateFullVideoBGRetrieval",),
    "COINPredictor": ("MMFusionActionSegmentation", "MMFusionSeparateActionSegmentation"),
    "CrossTaskPredictor": (
        "MMFusionActionLocalization",
        "MMFusionSeparateActionLocalization",
        "MMFusionShareActionLocalization",
    ),
}
"""Predictor -> the models that give what it asks for; those of one's own may go with any."""

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
