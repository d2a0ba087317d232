"""Getting BERT's config and weights from a folder or the hub, quietly, with clear errors."""

import contextlib
import logging
from pathlib import Path

from torch import nn
from transformers import AutoConfig, BertConfig, BertModel, BertPreTrainedModel
from transformers.activations import ACT2FN
from transformers.utils import logging as transformers_logging

from mmpt.errors import DataError
from mmpt.io.files import no_file
from mmpt.utils.bert import from_pretrained, resolve_bert

logger = logging.getLogger(__name__)

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings", "type_vocab_size"),
)
"""Of a config: integers from 1 on."""
MAY_LACK = ("pooler.", "cls.")
"""Parts of BERT that a model trained on words alone leaves out."""


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
    _check_sizes(config, f"dataset.bert_name: {resolve_bert(bert_name)}: config.json")
    for name, value in overrides.items():
        setattr(config, name, value)
    return config


def _check_sizes(config: BertConfig, source: str) -> None:
    for name in SIZES:
        if not isinstance(getattr(config, name), int) or getattr(config, name) < 1:
            raise DataError(f"{source}: {name} is {getattr(config, name)!r}; allowed: 1 and more")
    if config.hidden_size % config.num_attention_heads:
        raise DataError(
            f"{source}: hidden_size is {config.hidden_size}; it must be a multiple of "
            f"num_attention_heads, {config.num_attention_heads}"
        )
    if config.hidden_act not in ACT2FN:
        raise DataError(f"{source}: hidden_act {config.hidden_act!r} is unknown; BERT's is 'gelu'")


def load_bert(
    bert_name: str, config: BertConfig, kind: type[BertPreTrainedModel] = BertModel
) -> BertPreTrainedModel:
    """A `BertModel` with the weights of `bert_name`, or fresh ones where the folder has none.

    Args:
        kind: the class to load, `BertForPreTraining` for one with the head that predicts words.

    Raises:
        DataError: the weights cannot be read, have other shapes than `config` says, or are those
            of another model.
    """
    folder = Path(resolve_bert(bert_name))
    files = _weight_files(folder)
    if folder.is_dir() and not files:
        logger.warning(
            "%s holds no %s: the encoders start from random weights",
            bert_name,
            " or ".join(WEIGHT_FILES),
        )
        return kind(config)
    # names with another shape are ours to report: transformers puts them into a table
    options = {"ignore_mismatched_sizes": True, "output_loading_info": True}
    with _quiet_transformers():
        model, report = from_pretrained(
            kind.from_pretrained,
            bert_name,
            " ".join(["weights", *files[:1]]),
            config=config,
            **options,
        )
    _check_report(report, str(folder))
    return model


def _weight_files(folder: Path) -> list[str]:
    for name in WEIGHT_FILES:
        other = no_file(folder / name)
        if other is not None:
            raise DataError(f"dataset.bert_name: {folder / name} is {other}, no weights")
    return [name for name in WEIGHT_FILES if (folder / name).is_file()]


def _check_report(report: dict, source: str) -> None:
    """Refuses weights that do not fit; transformers would draw random ones in their place."""
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        name, found, needed = mismatched[0]
        raise DataError(
            f"dataset.bert_name: {source}: {len(mismatched)} tensors of the weights do not fit "
            f"config.json: {name} is {list(found)} in the file and {list(needed)} by config.json; "
            "copy all files of one model"
        )
    missing = sorted(name.removeprefix("bert.") for name in report["missing_keys"])
    needed = [name for name in missing if not name.startswith(MAY_LACK)]
    if needed:
        raise DataError(
            f"dataset.bert_name: {source}: the weights lack {len(needed)} tensors of BERT, first "
            f"{needed[0]}; copy all files of one model"
        )
    if missing:
        names = ", ".join(missing)
        logger.warning("%s: not in the weights, random at the start: %s", source, names)


def copy_bert(source: nn.Module, target: nn.Module) -> None:
    """Copies the entries of `source` that `target` has by name: embeddings, its layers, pooler."""
    own = target.state_dict()
    weights = {name: value for name, value in source.state_dict().items() if name in own}
    target.load_state_dict({**own, **weights})
