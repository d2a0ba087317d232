"""How one key of a job file is described: its meaning, default, unit and allowed values.

A section of the schema is a dataclass; its annotations give the types, and `key` puts the rest into
the field's metadata.  Nothing here reads a file.
"""

import math
import types
import typing
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any

from mmpt.config.access import nearest


@dataclass(frozen=True)
class Bounds:
    """What values of the right type a key takes; unset members do not restrict."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    filled: bool = False
    """The text must not be empty."""

    def describe(self) -> str:
        """The allowed values in words, for instance `at least 1`; empty where all are."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.filled:
            return "a text that is not empty"
        parts = []
        if self.above is not None:
            parts.append(f"above {self.above:g}")
        if self.low is not None:
            parts.append(f"at least {self.low:g}")
        if self.high is not None:
            parts.append(f"at most {self.high:g}")
        return " and ".join(parts)

    def admits(self, value: Any) -> bool:
        """Whether a value of the right type is within the bounds."""
        if self.choices:
            return value in self.choices
        if self.filled and isinstance(value, str):
            return value.strip() != ""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return True
        return (
            math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
        )


def key(
    meaning: str,
    default: Any = None,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """One key of a section, to stand on the right of `name: type = key(...)`.

    Args:
        meaning: what the key does, in one line.
        default: what an absent key means; None = not set.
        unit: for instance `seconds`, `text tokens`; a `path` must not be empty.
        low, high: the value must lie within, ends included.
        above: the value must be greater.
        choices: the only values of a text key.
    """
    bounds = Bounds(low, high, above, choices, filled=unit.startswith("path"))
    return field(default=default, metadata={"meaning": meaning, "unit": unit, "bounds": bounds})


def keys_of(section: type) -> dict[str, Field]:
    """The fields of a section by name, in the order of the schema."""
    return {f.name: f for f in fields(section)}


def kind_of(spec: Field) -> Any:
    """The type of a key without its `| None`."""
    if isinstance(spec.type, types.UnionType):
        members = [t for t in typing.get_args(spec.type) if t is not type(None)]
        return members[0]
    return spec.type


def default_of(spec: Field) -> Any:
    """What an absent key means."""
    return None if spec.default is MISSING else spec.default


def dotted_names(section: type, prefix: str = "") -> list[str]:
    """Every key below a section as a dotted name, the sections themselves included."""
    names = []
    for name, spec in keys_of(section).items():
        names.append(prefix + name)
        if is_dataclass(kind_of(spec)):
            names += dotted_names(kind_of(spec), f"{prefix}{name}.")
    return names


LARGEST = 2**31 - 1
"""Of all integers in job files: fairseq, torch and numpy take no larger ones everywhere."""

_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}


def type_problem(value: Any, kind: Any) -> str | None:
    """What a value of the wrong type should have been, in words; None where the type is right.

    An integer where a number is meant is right; true and false are never numbers; an integer that
    no one can hold is wrong.
    """
    if kind is Any or value is None:
        return None
    origin = typing.get_origin(kind) or kind
    if origin is list and isinstance(value, list):
        (member,) = typing.get_args(kind) or (Any,)
        wrong = [problem for item in value if (problem := type_problem(item, member))]
        return f"a list whose members are each {wrong[0]}" if wrong else None
    if origin in (int, float) and isinstance(value, bool):
        return _WORDS[origin]
    allowed = (int, float) if origin is float else origin
    if not isinstance(value, allowed):
        return _WORDS[origin]
    if origin is int and abs(value) > LARGEST:
        return f"at {'most' if value > 0 else 'least'} {LARGEST if value > 0 else -LARGEST}"
    return None


def unknown_key(dotted: str, section: type, root: type) -> str:
    """The end of the line on an unknown key: the nearest known one, or all that are known.

    Args:
        dotted: the whole name, for instance `loss.threshold`.
        section: the section it stands in.
        root: the section at the top, searched for the same name elsewhere.
    """
    prefix, _, leaf = dotted.rpartition(".")
    known = list(keys_of(section))
    hint = nearest(leaf, known)
    if hint:
        return f"unknown key {dotted}{hint}"
    elsewhere = [n for n in dotted_names(root) if n.rpartition(".")[2] == leaf]
    if elsewhere:
        return f"unknown key {dotted} (did you mean {elsewhere[0]}?)"
    where = f"of {prefix}" if prefix else "at the top level"
    return f"unknown key {dotted}; known keys {where}: {', '.join(known)}"


def shown(value: Any) -> str:
    """A value as a message shows it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
