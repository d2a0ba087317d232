"""Whether an evaluated checkpoint was chosen on the test set that it is evaluated on."""

from pathlib import Path
from typing import Any

from mmpt.config import load_config
from mmpt.config.access import setting
from mmpt.config.selection import ChosenOn, evaluated_set, validates_on_test
from mmpt.errors import ConfigError, DataError
from mmpt.io.run_record import RECORD_FILE, read_record

BEST = "checkpoint_best*.pt"
"""What fairseq calls the checkpoint with the best validation loss."""
SAID = "validates_on_test"


def chosen_on_test(checkpoint: Path, config: Any) -> str | None:
    """Why the numbers of a checkpoint are a little too good; None where they are not, by all that
    its folder tells.

    They are where it is the `checkpoint_best` of a training that validates on the set that the job
    evaluates.  The training's record says so; without one, its `config.yaml`.

    Args:
        checkpoint: a file.
        config: the evaluating job.
    """
    folder = (checkpoint.resolve() if checkpoint.is_symlink() else checkpoint).parent
    bests = [best for best in folder.glob(BEST) if best.is_file()]
    if not any(checkpoint.samefile(best) for best in bests):
        return None
    said, source = _said_by_record(folder)
    if source is None:
        said, source = _said_by_config(folder)
    test_set = evaluated_set(config)
    for chosen in said:
        if chosen.test_set == test_set:
            return f"the training of this checkpoint_best validated on {chosen}, says {source}"
    return None


def _said_by_record(folder: Path) -> tuple[list[ChosenOn], Path | None]:
    """What the starts of a run say, and the file; no file where there is no such record."""
    try:
        starts = read_record(folder)["starts"]
    except DataError:
        return [], None
    if not all(SAID in start for start in starts):
        return [], None
    said = [ChosenOn(**start[SAID]) for start in starts if start[SAID]]
    return said, folder / RECORD_FILE


def _said_by_config(folder: Path) -> tuple[list[ChosenOn], Path]:
    file = folder / "config.yaml"
    try:
        config = load_config(config_file=file)
    except ConfigError:
        return [], file
    said = validates_on_test(config) if setting(config, "loss") is not None else None
    return [said] if said else [], file
