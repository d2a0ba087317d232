"""What jobs need, one entry a path, and what was found out about it for which job."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OK, MISSING, BROKEN = "ok", "missing", "broken"
STATES = (BROKEN, MISSING, OK)
"""The worst first."""


class Fact(NamedTuple):
    """Something found out about a path while a job's data was read.

    Attributes:
        state: `MISSING`, `BROKEN`, or `OK` for a count or a remark.
        line: one line on it.
        key: the key of `dataset` that names the path; `""`: of the job file itself.
        what: the path, where it is another than the key's value.
        stops: the job cannot run with it; else it leaves something out.
    """

    state: str
    line: str
    key: str
    what: str | None = None
    stops: bool = True


@dataclass
class Thing:
    """A path that jobs need.

    Attributes:
        what: the path, as job files name it (a prefix of file names ends in `*`).
        keys: the dotted keys that name it; jobs: the job files that need it.
        section: the section of DATASET.md that says how to get it.
        findings: (state, line) -> the jobs that it is about, and whether it stops them.
    """

    what: str
    section: str | None = None
    keys: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    findings: dict[tuple[str, str], tuple[list[str], bool]] = field(default_factory=dict)

    def needed_by(self, job: str, key: str) -> None:
        """Remembers who needs it, and where that is said."""
        _add(self.jobs, [job])
        _add(self.keys, [key] if key else [])

    def found(self, state: str, line: str, jobs: Iterable[str], stops: bool = True) -> None:
        """Adds a line, or further jobs to one that is there."""
        concerned, _ = self.findings.setdefault((state, line), ([], stops))
        _add(concerned, jobs)

    def lines(self, state: str) -> list[str]:
        return [line for found, line in self.findings if found == state]

    @property
    def state(self) -> str:
        """The worst that was found."""
        return self.state_for(None)

    def state_for(self, job: str | None) -> str:
        """The worst that was found for one job; None: for any."""
        states = {
            state for (state, _), (jobs, _) in self.findings.items() if job is None or job in jobs
        }
        return next((state for state in STATES if state in states), OK)

    @property
    def stops(self) -> bool:
        """Whether a job cannot run with what was found."""
        return any(stops for (state, _), (_, stops) in self.findings.items() if state != OK)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        findings = [
            {"state": state, "line": line, "jobs": jobs, "stops": stops and state != OK}
            for (state, line), (jobs, stops) in self.findings.items()
        ]
        return {
            "what": self.what,
            "state": self.state,
            "keys": self.keys,
            "section": self.section,
            "jobs": self.jobs,
            "findings": findings,
        }


def spelled(file: str) -> str:
    """One spelling of the path of a job file; its own name, which tells what it is for, stays that
    of a link."""
    folder, name = os.path.split(os.path.abspath(file))
    return os.path.join(os.path.realpath(folder), name)


def _add(known: list[str], new: Iterable[str]) -> None:
    known += [entry for entry in new if entry not in known]
