"""Tables of annotations: columns by name, with a line that says what is wrong where."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence

from mmpt.errors import DataError, first_few

DELIMITERS = {",": "comma", "\t": "tab"}
"""What may stand between the values of a table, and how messages call it."""


def read_columns(path: str, names: Sequence[str], delimiter: str = ",") -> list[tuple[str, ...]]:
    """Some columns of a table with a header, row by row.

    Args:
        path: the table.
        names: the columns, in the order of the result.
        delimiter: a key of `DELIMITERS`.

    Returns:
        A tuple a row, one value a name; other columns are not looked at.

    Raises:
        DataError: the table lacks a column, has no row, or a row without a value in one of the
            columns, with more values than columns, with quotes that do not close, or with a NUL.
    """
    rows = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            # between tabs a sentence may begin with a quotation: words behind it are no error there
            reader = csv.DictReader(file, strict=delimiter == ",", delimiter=delimiter)
            columns = reader.fieldnames or []
            for name in names:
                if name not in columns:
                    raise DataError(
                        f"{path}: no column {name!r}; it has {', '.join(columns) or 'none'}"
                    )
            for number, row in enumerate(reader):
                where = f"{path}: row {number}"
                _check_row(row, columns, delimiter, where)
                rows.append(_values(row, names, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a {_kind(delimiter)} table ({error})") from None
    if not rows:
        raise DataError(f"{path}: the table has no row")
    return rows


def _check_row(row: dict, columns: Sequence[str], delimiter: str, where: str) -> None:
    """Raises DataError where quotes or delimiters are not what they should be."""
    if None in row:
        raise DataError(
            f"{where} has more values than the {len(columns)} columns; a {DELIMITERS[delimiter]} "
            "inside a value needs quotes around it"
        )
    broken = [column for column, value in row.items() if "\n" in (value or "")]
    if broken and delimiter != ",":
        raise DataError(f"{where} has a line break in its {broken[0]}: quotes that do not close?")


def _kind(delimiter: str) -> str:
    return "CSV" if delimiter == "," else f"{DELIMITERS[delimiter]} separated"


def _values(row: dict[str, str | None], names: Sequence[str], where: str) -> tuple[str, ...]:
    for name in names:
        if "\0" in (row[name] or ""):
            raise DataError(f"{where} has a NUL byte in its {name}")
        if not row[name]:
            raise DataError(f"{where} has no {name}")
    return tuple(row[name] for name in names)


def check_once(names: Iterable[str], table: str, what: str, rule: str) -> None:
    """Refuses a table in which something stands twice.

    Args:
        names: of each row.
        table: the file, for the message.
        what: what the names are, in the plural.
        rule: why none may stand twice.

    Raises:
        DataError: how many do, and the first few.
    """
    twice = [name for name, rows in Counter(names).items() if rows > 1]
    if twice:
        raise DataError(
            f"{table}: {len(twice)} {what} stand in it more than once: {first_few(twice)}; {rule}"
        )
