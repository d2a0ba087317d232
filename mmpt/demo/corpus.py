"""The whole demo corpus into one folder, all of it or nothing."""

import contextlib
import fcntl
import json
import logging
import os
import platform
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmpt import __version__
from mmpt.demo.footage import BACKGROUND
from mmpt.demo.narration import KINDS
from mmpt.demo.sets import SETS
from mmpt.demo.sets.base import write_json
from mmpt.demo.settings import CorpusSettings
from mmpt.demo.tinybert import train_tokenizer, write_tinybert
from mmpt.demo.world import World, build_world
from mmpt.errors import DataError

logger = logging.getLogger(__name__)

MARK = "corpus.json"
"""Says what a corpus was made with; a folder without it is no demo corpus."""
FORM = 4
"""To be raised whenever the same settings give other files."""


def make_corpus(
    out: str | Path, *, force: bool = False, renew: bool = False, **settings: Any
) -> bool:
    """Makes a demo corpus; the same settings give the same bytes.

    It is built in a hidden folder beside `out` and renamed when it is whole, so that a stopped run
    leaves nothing that looks like a corpus.

    Args:
        out: the corpus' folder; its parents are made.
        force: make it anew where a demo corpus is, whatever it was made with.
        renew: make it anew where one of an older form is, made with the same settings.
        settings: the fields of `CorpusSettings`.

    Returns:
        True where the corpus was made, False where it was there already.

    Raises:
        ConfigError: a setting out of range.
        DataError: `out` holds something else, or another process is making it.
    """
    wanted = CorpusSettings(**settings)
    out = Path(out).resolve()  # a link stays a link, to the new corpus
    if _is_made(out, wanted, force, renew):
        logger.info("%s: made before with the same settings, nothing to do", out)
        return False
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _partial_folder(out) as partial:
            _build(partial, wanted)
            if not _is_made(out, wanted, force, renew):  # another process may have been faster
                _install(partial, out)
    except OSError as error:
        raise DataError(f"demo corpus: cannot write {out}: {error}") from error
    return True


def read_truth(corpus: str | Path) -> dict[str, Any]:
    """truth.json of a corpus: `steps`, `tasks`, and one entry for every data set.

    Raises:
        DataError: the folder holds no demo corpus.
    """
    path = Path(corpus) / "truth.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no truth of a demo corpus ({error})") from error


def summary(corpus: str | Path) -> str:
    """A few lines that say what a demo corpus holds."""
    truth = read_truth(corpus)
    train, test = truth["how2"]["train"], truth["msrvtt"]["test"]
    kinds = Counter(said["kind"] for video in train.values() for said in video["captions"])
    captions = sum(kinds.values())
    noise = ", ".join(f"{kinds[kind] / captions:.0%} {kind}" for kind in KINDS)
    hours = sum(video["seconds"] for video in train.values()) / 3600
    aligned = truth["htm_align"]
    flags = [said["aligned"] for video in aligned.values() for said in video["sentences"]]
    return "\n".join(
        [
            f"demo corpus {corpus}",
            f"  world     {len(truth['steps'])} steps in {len(truth['tasks'])} tasks",
            f"  training  {len(train)} videos, {hours:.1f} h, {captions} captions: {noise}",
            f"  checking  {len(truth['how2']['val'])} videos",
            f"  test      {len(test)} videos in MSR-VTT's form (chance: R@1 {1 / len(test):.3f})",
            f"  alignment {len(aligned)} videos in HTM-Align's form, {len(flags)} sentences, "
            f"{sum(flags) / len(flags):.0%} alignable",
            *_further_tasks(truth),
        ]
    )


def _further_tasks(truth: dict[str, Any]) -> list[str]:
    """A line of the summary for each of the other downstream sets."""
    youcook, didemo = truth["youcook"], truth["didemo"]
    coin, crosstask = truth["coin"], truth["crosstask"]["videos"]
    moments = sum(len(video["moments"]) for video in didemo.values())
    return [
        f"  answers   {len(truth['msrvtt_qa'])} questions in MSR-VTT QA's form",
        f"  clips     {_shown(youcook)} in {len(youcook)} videos in YouCook2's form",
        f"  segments  {_shown(coin['testing'])} in {len(coin['testing'])} test videos in COIN's "
        f"form, and {len(coin['training'])} videos to train on",
        f"  moments   {moments} in {len(didemo)} videos in DiDeMo's form",
        f"  steps     {_shown(crosstask)} in {len(crosstask)} videos in CrossTask's form",
    ]


def _shown(videos: dict[str, Any]) -> int:
    """The number of segments that show a step."""
    return sum(step != BACKGROUND for v in videos.values() for _, _, step in v["segments"])


def _is_made(out: Path, wanted: CorpusSettings, force: bool, renew: bool) -> bool:
    """Whether `out` is the corpus asked for; an error where it must not be replaced."""
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / MARK).read_text(encoding="utf-8"))
        found_form, found_settings = found["form"], found["settings"]
    except (OSError, ValueError, LookupError, TypeError):
        raise DataError(
            f"demo corpus: {out} holds something that is no demo corpus; choose another folder"
        ) from None
    if force:
        return False
    settings = asdict(wanted)
    if found_form == FORM and found_settings == settings:
        return True
    # an older form may lack settings that came later
    same = all(settings.get(name) == value for name, value in found_settings.items())
    if renew and found_form < FORM and same:
        logger.info("%s: of form %s, made anew in form %d", out, found_form, FORM)
        return False
    raise DataError(
        f"demo corpus: {out} was made with other settings ("
        f"{_differences(found_form, found_settings, settings)}); "
        "choose another folder or replace it with --force"
    )


def _differences(form: int, found: dict, wanted: dict) -> str:
    parts = [
        f"{name} {found[name]!r}, now {value!r}"
        for name, value in wanted.items()
        if name in found and found[name] != value
    ]
    return "; ".join(parts) or f"form {form}, now {FORM}"


@contextlib.contextmanager
def _partial_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that this process alone holds; removed on any error.

    What a killed run left there is cleared away by the next one.
    """
    partial = out.with_name(f".{out.name}.partial")
    partial.mkdir(exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        _lock(handle, partial, out)
        try:
            _clear(partial)
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(handle)


def _lock(handle: int, partial: Path, out: Path) -> None:
    """Locks the opened folder, and sees that it is still the one at `partial`."""
    busy = DataError(f"demo corpus: another process is making {out}; try again when it is done")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(partial)):
            raise busy
    except (BlockingIOError, FileNotFoundError):
        raise busy from None


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _build(folder: Path, settings: CorpusSettings) -> None:
    world = build_world(settings)
    sets = {name: plan(world, settings) for name, plan in SETS.items()}
    tokenizer = train_tokenizer(text for planned in sets.values() for text in planned.texts)
    write_tinybert(folder / settings.bert_name, tokenizer, settings)
    for name, planned in sets.items():
        logger.info("demo corpus: writing the %s part", name)
        planned.write(folder, tokenizer)
    truths = {name: planned.truth for name, planned in sets.items()}
    write_json(folder / "truth.json", {**_world_truth(world), **truths})
    versions = {name: version(name) for name in ("numpy", "tokenizers", "safetensors")}
    made_by = {"mmpt": __version__, "python": platform.python_version(), **versions}
    mark = {"form": FORM, "settings": asdict(settings), "versions": made_by}
    (folder / MARK).write_text(json.dumps(mark, indent=1) + "\n")


def _world_truth(world: World) -> dict[str, Any]:
    return {
        "steps": [step._asdict() for step in world.steps],
        "tasks": [task._asdict() for task in world.tasks],
    }


def _install(partial: Path, out: Path) -> None:
    """Puts the finished folder in place; an older corpus makes way only then."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # of a run killed between the two renames below
    if out.exists() and any(out.iterdir()):
        out.rename(old)
    partial.rename(out)  # an empty folder is replaced
    shutil.rmtree(old, ignore_errors=True)
