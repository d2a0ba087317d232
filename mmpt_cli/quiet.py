"""Leaving out what a training would print on every start and nobody needs.

fairseq calls hydra by older names, and each call warns; and it prints its whole settings and the
whole module tree, which are in the run's `config.yaml` and in the code.  `--debug` shows all of it,
and that the plugin was imported twice, which it always is.
"""

import logging
import warnings

OLDER_NAMES = (
    r"hydra\.experimental\.\w+\(\) is no longer experimental",
    r"The version_base parameter is not specified",
    r"In '[^']*': Usage of deprecated keyword in package header",
    r"'[^']*' is validated against ConfigStore schema with the same name",
    r"The strict flag in the compose API is deprecated",
)
"""How the warnings begin; all others are shown."""


def quieten_trainer() -> None:
    """Hides those warnings and those records of the trainer; calling it twice is harmless."""
    warnings.filterwarnings(
        "ignore", message=rf"\s*(?:{'|'.join(OLDER_NAMES)})", category=UserWarning
    )
    logging.getLogger("fairseq.tasks.fairseq_task").setLevel(logging.WARNING)  # its iterators
    for name, wanted in (("fairseq_cli.train", _no_dumps), ("fairseq.utils", _no_second_import)):
        # a filter that is there already is not added again
        logging.getLogger(name).addFilter(wanted)


def _no_dumps(record: logging.LogRecord) -> bool:
    """False for a record that is no text but the settings (a mapping) or the model itself."""
    return isinstance(record.msg, str | BaseException)


def _no_second_import(record: logging.LogRecord) -> bool:
    """False for the word that the plugin, which a command registers itself, is there already."""
    return not record.getMessage().endswith("has already been imported.")
