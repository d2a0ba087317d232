"""What is left out of a training's log, and what is not."""

import logging
import subprocess
import sys
import warnings

import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt_cli.quiet import quieten_trainer


@pytest.fixture
def trainer_log():
    """The trainer's logger, with what passes it."""
    logger = logging.getLogger("fairseq_cli.train")
    filters, level = list(logger.filters), logger.level
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger, records
    logger.removeHandler(handler)
    logger.filters[:] = filters
    logger.setLevel(level)


def test_settings_and_model_are_left_out_and_words_are_kept(trainer_log):
    logger, records = trainer_log
    quieten_trainer()
    quieten_trainer()
    logger.info({"common": {"seed": 1}})
    logger.info(object())
    logger.info("training on %d devices", 1)
    logger.info(ValueError("x"))
    assert [r.getMessage() for r in records] == ["training on 1 devices", "x"]


def test_the_plugin_that_is_there_already_is_no_news():
    logger = logging.getLogger("fairseq.utils")
    filters = list(logger.filters)
    try:
        quieten_trainer()
        quieten_trainer()
        assert len(logger.filters) <= len(filters) + 1

        def passes(text):
            return bool(logger.filter(logging.makeLogRecord({"msg": text})))

        assert not passes("--user-dir=mmpt has already been imported.")
        assert passes("another word")
    finally:
        logger.filters[:] = filters


def test_only_warnings_about_older_names_are_left_out():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        quieten_trainer()
        warnings.warn("\nThe version_base parameter is not specified.\n...", stacklevel=1)
        warnings.warn("The learning rate is not specified", stacklevel=1)
    assert [str(w.message) for w in shown] == ["The learning rate is not specified"]


@pytest.mark.slow
def test_no_warning_of_an_import_reaches_the_user(tmp_path):
    run = subprocess.run(
        [sys.executable, str(REPOSITORY_ROOT / "train.py"), "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0 and "Warning" not in run.stderr
