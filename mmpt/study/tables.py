"""A finished study as Markdown and as a plot."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmpt.errors import DataError, LaunchError
from mmpt.io.atomic import atomic_write
from mmpt.study.settings import METRICS, STAGE_1

BEGIN, END = "<!-- study: begin -->", "<!-- study: end -->"
"""Between these lines of a document stands what `--write` puts there."""

Cells = Mapping[tuple[float, int, str], Mapping[str, Any]]
"""(noise, seed, row) -> what the finished cell holds."""


def numbers(cells: Cells, noise: float, row: str, metric: str) -> list[float]:
    """One number a seed, in the order of seeds."""
    found = sorted((key[1], cell) for key, cell in cells.items() if key[::2] == (noise, row))
    return [cell["metrics"][metric] for _, cell in found]


def deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation; 0 of a single number."""
    return stdev(values) if len(values) > 1 else 0.0


def axes(cells: Cells) -> tuple[list[float], list[int], list[str]]:
    """Noise rates and seeds in ascending order, rows in the order of the cells."""
    noise, seeds = (sorted({key[place] for key in cells}) for place in (0, 1))
    return noise, seeds, list(dict.fromkeys(row for _, _, row in cells))


def table(cells: Cells) -> str:
    """A Markdown table for every noise rate: mean ± standard deviation over the seeds."""
    rates, _, rows = axes(cells)
    blocks = []
    for noise in rates:
        lines = [f"**Noise {noise:g}**", "", f"| loss | {' | '.join(METRICS)} |"]
        lines.append("| --- " * (len(METRICS) + 1) + "|")
        for row in rows:
            shown = [_shown(numbers(cells, noise, row, metric)) for metric in METRICS]
            name = "stage 1 alone" if row == STAGE_1 else f"`{row}`"
            lines.append(f"| {name} | {' | '.join(shown)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _shown(values: Sequence[float]) -> str:
    spread = f" ± {deviation(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def comparison(cells: Cells) -> str:
    """How often each row beats the first one, from the same weights with the same seed.

    A comparison is a noise rate and a metric; it counts as better or worse where all seeds agree.
    """
    rates, seeds, rows = axes(cells)
    first, *others = [row for row in rows if row != STAGE_1]
    if not others:
        return ""
    total = len(rates) * len(METRICS)
    seeds_text = "its only seed" if len(seeds) == 1 else f"all {len(seeds)} seeds"
    lines = [
        f"Against `{first}`, out of {total} comparisons (noise rates x metrics), better or worse "
        f"with {seeds_text}:",
        "",
        "| loss | better | worse | neither |",
        "| --- | --- | --- | --- |",
    ]
    for row in others:
        better, worse = _wins(cells, row, first), _wins(cells, first, row)
        lines.append(f"| `{row}` | {better} | {worse} | {total - better - worse} |")
    by_chance = total / 2 ** len(seeds)
    lines += [
        "",
        f"Of two losses that are equally good, each would be better in up to {by_chance:.1f} of "
        f"{total} by chance. The comparisons are not independent: metrics share a model, and rates "
        "the test sets.",
    ]
    return "\n".join(lines)


def _wins(cells: Cells, row: str, other: str) -> int:
    rates = axes(cells)[0]
    pairs = [
        list(zip(numbers(cells, r, row, m), numbers(cells, r, other, m), strict=True))
        for r in rates
        for m in METRICS
    ]
    return sum(all(one > two for one, two in values) for values in pairs)


def plot(cells: Cells) -> bytes:
    """A PNG: one panel a metric, the noise rate across, a line a row, bars of one deviation.

    Raises:
        LaunchError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    rates, _, rows = axes(cells)
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels = figure.subplots(2, 3).flatten()
    width = (max(rates) - min(rates)) or 1.0
    for panel, metric in zip(panels, METRICS, strict=False):
        for place, row in enumerate(rows):
            values = [numbers(cells, noise, row, metric) for noise in rates]
            # beside each other: the bars of equal rates would hide one another
            shifted = [r + width * 0.012 * (place - (len(rows) - 1) / 2) for r in rates]
            style = {"color": "0.6", "linestyle": "--"} if row == STAGE_1 else {}
            panel.errorbar(
                shifted,
                [mean(v) for v in values],
                [deviation(v) for v in values],
                label="stage 1 alone" if row == STAGE_1 else row,
                marker="o",
                markersize=4,
                capsize=3,
                **style,
            )
        panel.set_title(metric, fontsize=10)
        panel.set_xticks(rates)
        panel.grid(alpha=0.3)
    for panel in panels[len(METRICS) :]:
        panel.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="center", fontsize=9, frameon=False)
    figure.supxlabel("noise rate", fontsize=10)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()


def require_matplotlib() -> None:
    """Refuses to go on without it, before anything is computed.

    Raises:
        LaunchError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise LaunchError(
            "matplotlib, which draws the plot, is not installed: pip install matplotlib"
        ) from error


def check_document(path: Path) -> None:
    """Sees that a document has a place for the results.

    Raises:
        DataError: no file, or not both marks, once each and in order.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--write: {path} cannot be read ({error})") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DataError(f"--write: {path} needs the lines {BEGIN} and {END}, once each, in order")


def write_document(path: Path, block: str) -> None:
    """Replaces what stands between the marks; the rest stays; raises as `check_document`."""
    check_document(path)  # it may have been edited since the study began
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with atomic_write(path, "w") as file:
        file.write(f"{before}{BEGIN}\n{block.strip()}\n{END}{after}")
