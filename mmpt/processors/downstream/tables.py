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
    between = DELIMITERS[delimiter]
    rows = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, delimiter=delimiter)
            columns = reader.fieldnames or []
            for name in names:
                if name not in columns:
                    raise DataError(
                        f"{path}: no column {name!r}; it has {', '.join(columns) or 'none'}"
                    )
            for number, row in enumerate(reader):
                if None in row:
                    raise DataError(
                        f"{path}: row {number} has more values than the {len(columns)} columns; "
                        f"a {between} inside a value needs quotes around it"
                    )
                rows.append(_values(row, names, f"{path}: row {number}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a {_kind(delimiter)} table ({error})") from None
    if not rows:
        raise DataError(f"{path}: the table has no row")
    return rows


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
