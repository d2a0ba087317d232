"""Looks at everything that job files need, each thing once, and no job's trouble ends another's."""

import json
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from mmpt.config.access import lookup, setting
from mmpt.config.check import check_complete
from mmpt.config.fairseq_args import trainer_settings
from mmpt.config.jobtypes import JOB_TYPES
from mmpt.datacheck import Opening, open_all, problem_of_checkpoint
from mmpt.errors import CheckpointError
from mmpt.io.files import no_file
from mmpt.utils.bert import load_tokenizer, resolve_bert
from mmpt_cli.checkpoint_files import find_checkpoints
from mmpt_cli.data_reading import Read, read_split
from mmpt_cli.data_things import BROKEN, MISSING, OK, Fact, Thing, spelled
from mmpt_cli.entry import user_line
from mmpt_cli.localjob import Job, read_jobs
from mmpt_cli.missing import (
    BERT_SECTION,
    CHECKPOINT_SECTION,
    FOLDERS,
    PATH_UNITS,
    has_bert,
    missing_checkpoints,
    missing_data,
    needed_keys,
    read_splits,
    section_of,
)

T = TypeVar("T")

NOT_THERE = "not there"
"""What is said of a missing thing where there is no more to say."""


class Survey:
    """What was looked at.

    Attributes:
        jobs: the job files, in order.
        things: what they need, by normalised path.
        openings: what a deep look opens -> the thing that it is a part of, and its jobs.
    """

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.things: dict[str, Thing] = {}
        self.openings: dict[Opening, tuple[Thing, list[str]]] = {}
        self._seen: dict[str, Any] = {}
        self._written: dict[str, str] = {}

    def add_file(self, file: str) -> None:
        """Reads a job file (or the jobs of a pipeline) and looks at what it needs."""
        if self._known(file):
            return
        try:
            _, jobs = read_jobs([file], None)
        except Exception as error:  # told as this file's trouble, whatever it is
            self._broken_job(file, error)
            return
        for job in jobs:
            self.add_job(job)

    def add_job(self, job: Job) -> None:
        """Looks at what a loaded job needs."""
        if self._known(job.file):
            return
        try:
            evaluated = is_evaluated(job)
            check_complete(job.config, job.file, evaluated)
            self._look(job, evaluated)
        except Exception as error:
            self._broken_job(job.file, error)
            return
        self.jobs.append(job.file)

    def open_all(self, processes: int) -> None:
        """The deep look: opens every file that was found, each once."""
        broken: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        totals: dict[tuple[str, tuple[str, ...]], int] = {}
        order = sorted(self.openings)
        for asked, opened in open_all(order, processes):
            thing, jobs = self.openings[asked]
            group = (_normal(thing.what), tuple(jobs))
            totals[group] = totals.get(group, 0) + 1
            if opened.problem is not None:
                broken.setdefault(group, []).append(opened.problem)
            if opened.note is not None:
                thing.found(OK, opened.note, jobs)
        for group, count in totals.items():
            path, jobs = group
            lines = broken.get(group, [])
            if lines:
                several = f"{len(lines):,} of {count:,} files: " if count > 1 else ""
                shown = "; ".join(lines[:3]) + ("; …" if len(lines) > 3 else "")
                self.things[path].found(BROKEN, f"{several}{shown}", jobs)
            elif count > 1:
                self.things[path].found(OK, f"{count:,} opened", jobs)

    def finish(self) -> None:
        """Adds what only all jobs together tell: which of them makes a missing checkpoint."""
        for thing in self.things.values():
            maker = self._written.get(os.path.realpath(os.path.dirname(thing.what) or "."))
            if thing.section == CHECKPOINT_SECTION and thing.state == MISSING and maker:
                thing.found(OK, f"a run of {maker} writes it", thing.jobs)

    def _broken_job(self, file: str, error: Exception) -> None:
        self.jobs.append(file)
        line = user_line(error) or " ".join(f"{type(error).__name__}: {error}".split())
        thing = self._thing(file, None, file, "")
        thing.found(BROKEN, line.removeprefix(f"{file}: "), [file])

    def _known(self, file: str) -> bool:
        """Whether a job file was looked at, under this spelling of its path or another."""
        return spelled(file) in {spelled(known) for known in self.jobs}

    def _thing(self, what: str, section: str | None, job: str, key: str) -> Thing:
        thing = self.things.setdefault(_normal(what), Thing(what, section))
        thing.needed_by(job, key)
        return thing

    def _once(self, identity: Sequence[Any], make: Callable[[], T]) -> T:
        """What `make` gives; asked a second time for the same, the first answer."""
        name = json.dumps(identity, default=str, sort_keys=True)
        if name not in self._seen:
            self._seen[name] = make()
        return self._seen[name]

    def _look(self, job: Job, evaluated: bool) -> None:
        section = section_of(job.config)
        dataset = setting(job.config, "dataset")
        splits = read_splits(job.config, evaluated)
        lost = list(missing_data(job, evaluated))
        for one in [*lost, *missing_checkpoints(job, evaluated)]:
            for key in one.keys:
                thing = self._thing(one.what, one.section, job.file, key)
                thing.found(MISSING, one.note or NOT_THERE, [job.file])
        gone = {_normal(one.what) for one in lost}
        for key in needed_keys(splits):
            path = setting(dataset, key)
            plain = path is not None and PATH_UNITS[key] != "path prefix"
            if plain and _normal(path) not in gone:
                thing = self._thing(path, section, job.file, f"dataset.{key}")
                other = None if key in FOLDERS else no_file(path)
                if other:
                    thing.found(BROKEN, f"{other}, where a file is needed", [job.file])
        with_bert = self._look_at_bert(job, dataset)
        for split in splits:
            config = with_roles(job.config, split)
            identity = (OmegaConf.to_container(config), with_bert)
            paths = [one.what for one in lost]
            read = self._once(identity, lambda c=config, p=paths: read_split(c, p, with_bert))
            self._keep(read, job, config, section)
        self._look_at_checkpoints(job, evaluated)

    def _keep(self, read: Read, job: Job, config: Any, section: str) -> None:
        """Puts what a split told to the things that it is about, as this job's."""

        def about(key: str, what: str | None) -> Thing:
            path = what or (setting(config, key) if key else job.file)
            if key == "bert_name":
                path = resolve_bert(str(path))
            return self._thing(path, section, job.file, f"dataset.{key}" if key else "")

        for fact in read.facts:
            self._told(fact, about(fact.key, fact.what), job)
        for place, asked in read.openings:
            thing = about(place, None) if place in PATH_UNITS else self.things[_normal(place)]
            _, jobs = self.openings.setdefault(asked, (thing, []))
            if job.file not in jobs:
                jobs.append(job.file)

    def _told(self, fact: Fact, thing: Thing, job: Job) -> None:
        line = fact.line.removeprefix(f"{thing.what}: ")
        thing.found(fact.state, line, [job.file], fact.stops)

    def _look_at_bert(self, job: Job, dataset: Any) -> bool:
        """Whether the job's tokenizer can be had."""
        name = setting(dataset, "bert_name")
        if name is None or not has_bert(name):
            return False
        thing = self._thing(resolve_bert(name), BERT_SECTION, job.file, "dataset.bert_name")
        problem = self._once(("BERT", name), lambda: _problem_of(lambda: load_tokenizer(name)))
        if problem:
            line = problem.removeprefix("dataset.bert_name: ")
            thing.found(BROKEN, line, [job.file])
        return problem is None

    def _look_at_checkpoints(self, job: Job, evaluated: bool) -> None:
        if not evaluated:
            settings = trainer_settings(job.config)
            folder = setting(job.config, "fairseq.checkpoint.save_dir")
            self._written.setdefault(os.path.realpath(folder or "."), job.file)
            named = {
                f"fairseq.checkpoint.{name}": settings.get(name)
                for name in ("finetune_from_model", "restore_file")
            }
            files = {file: key for key, file in named.items() if file and os.path.exists(file)}
        else:
            files = _evaluated_files(job)
        for file, key in files.items():
            thing = self._thing(file, CHECKPOINT_SECTION, job.file, key)
            problem = self._once(("checkpoint", file), lambda f=file: problem_of_checkpoint(f))
            if problem:
                thing.found(BROKEN, problem, [job.file])
                continue
            asked = Opening("checkpoint", _normal(file))
            _, jobs = self.openings.setdefault(asked, (thing, []))
            jobs += [job.file] * (job.file not in jobs)


def is_evaluated(job: Job) -> bool:
    """Whether a job is evaluated, by its name or its type; of any type that there is."""
    kind = JOB_TYPES[job.job_type].kind if job.job_type in JOB_TYPES else None
    return Path(job.file).name.startswith(("test", "vis")) or kind == "predict"


def with_roles(config: DictConfig, split: str) -> DictConfig:
    """The `dataset` section of a job for one split, the roles that the predictor fills in filled.

    Raises:
        ConfigError: the predictor is unknown.
    """
    from mmpt.evaluators import PREDICTORS

    section = OmegaConf.create(OmegaConf.to_container(config.dataset, resolve=True))
    name = setting(config, "predictor")
    own = lookup(PREDICTORS, name, "predictor").processors if name is not None else {}
    roles = {role: cls for role, cls in own.items() if setting(section, role) is None}
    return OmegaConf.merge(section, roles, {"split": split})


def _evaluated_files(job: Job) -> dict[str, str]:
    """The checkpoints that an evaluation would find -> the key that leads to them."""
    named = setting(job.config, "fairseq.common_eval.path")
    if named is not None and not os.path.exists(named):
        named = None
    only_named = Path(job.file).name.startswith("vis")
    place = OmegaConf.merge(job.config, {"fairseq": {"common_eval": {"path": named}}})
    try:
        found = find_checkpoints(place, only_named)
    except CheckpointError:
        return {}
    return {
        str(file): "fairseq.common_eval.path"
        if named is not None and file.samefile(named)
        else "eval.save_path"
        for file in found
    }


def _problem_of(ask: Callable[[], Any]) -> str | None:
    try:
        ask()
    except Exception as error:
        return user_line(error) or f"{type(error).__name__}: {error}"
    return None


def _normal(path: str) -> str:
    return os.path.normpath(path)


def survey(files: Collection[str], deep: bool = False, processes: int = 1) -> Survey:
    """Looks at job files.

    Args:
        files: of jobs or pipelines.
        deep: open every file; else they are counted, and annotations read.
        processes: that open files.

    Raises:
        LaunchError: a process that opened files was killed.
    """
    found = Survey()
    for file in files:
        found.add_file(str(file))
    if deep:
        found.open_all(processes)
    found.finish()
    return found
