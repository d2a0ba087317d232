"""Getting BERT's config and weights from a folder or the hub, quietly, with clear errors."""

import contextlib
import logging
from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, BertConfig, BertModel, BertPreTrainedModel
from transformers.utils import logging as transformers_logging

from mmpt.errors import DataError
from mmpt.utils.bert import from_pretrained, resolve_bert

logger = logging.getLogger(__name__)

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


@contextlib.contextmanager
def _quiet_transformers():
    """Transformers prints a long report on every load; ours is one line."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def bert_config(bert_name: str, **overrides) -> BertConfig:
    """The BERT config of a folder or hub name, with attributes set over it.

    Raises:
        DataError: `bert_name` cannot be found or is no BERT.
    """
    with _quiet_transformers():
        config = from_pretrained(AutoConfig.from_pretrained, bert_name, "config.json")
    if not isinstance(config, BertConfig):
        raise DataError(f"dataset.bert_name: {bert_name!r} is a {config.model_type}; name a BERT")
    for name, value in overrides.items():
        setattr(config, name, value)
    return config


def load_bert(
    bert_name: str, config: BertConfig, kind: type[BertPreTrainedModel] = BertModel
) -> BertPreTrainedModel:
    """A `BertModel` with the weights of `bert_name`, or fresh ones where the folder has none.

    Args:
        kind: the class to load, `BertForPreTraining` for one with the head that predicts words.
    """
    folder = Path(resolve_bert(bert_name))
    if folder.is_dir() and not any((folder / name).is_file() for name in WEIGHT_FILES):
        logger.warning(
            "%s holds no %s: the encoders start from random weights",
            bert_name,
            " or ".join(WEIGHT_FILES),
        )
        return kind(config)
    try:
        with _quiet_transformers():
            return from_pretrained(kind.from_pretrained, bert_name, "weights", config=config)
    except SafetensorError as error:
        raise DataError(f"dataset.bert_name: {folder}: damaged weights ({error})") from error


def copy_bert(source: nn.Module, target: nn.Module) -> None:
    """Copies the entries of `source` that `target` has by name: embeddings, its layers, pooler."""
    own = target.state_dict()
    weights = {name: value for name, value in source.state_dict().items() if name in own}
    target.load_state_dict({**own, **weights})
