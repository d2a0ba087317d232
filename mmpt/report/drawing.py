"""The report's pictures: numbers to PNG, drawn with matplotlib.

Every function returns the bytes of a PNG file.  Figures are made without pyplot: no window system
and no state are shared with a program that draws something else.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from mmpt.errors import LaunchError
from mmpt.evaluators.htm_align import Alignment
from mmpt.evaluators.htm_protocol import UNTOUCHED
from mmpt.report.paragraphs import PairPicture
from mmpt.report.training import Curve

DPI = 130
WIDTH, NARROW = 9.0, 6.0
"""Inches."""
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"),
    *("#7f3c8d", "#666666", "#000000", "#8c564b"),
)
"""Of lines; the first six are Okabe and Ito's, apart for the colour-blind too."""
MOST_LINES = len(COLOURS)
LONGEST_TEXT = 46
"""Characters of a sentence beside a picture."""
MOST_ROWS = 160
"""Sentences of one heat map; those beyond are left out, and the caption says so."""
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar in a sentence is a dollar
    "savefig.facecolor": "white",
}


def require_matplotlib() -> None:
    """Refuses to go on without the package that draws.

    Raises:
        LaunchError: with how to install it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise LaunchError(
            "matplotlib, which draws the report's pictures, is not installed: "
            "pip install -c constraints.txt -e '.[report]'"
        ) from error


def _drawn(function):
    """Draws in our own style, whatever the program's is."""

    @wraps(function)
    def draw(*args, **kwargs) -> bytes:
        import matplotlib

        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
            figure = function(*args, **kwargs)
            buffer = io.BytesIO()
            figure.savefig(
                buffer, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None}
            )
        return buffer.getvalue()

    return draw


def _figure(height: float, columns: int = 1, width: float = WIDTH, **options: Any):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


class Line(NamedTuple):
    """One line of a recall figure: `values[k - 1]` is the recall at k."""

    name: str
    values: np.ndarray
    is_bound: bool = False
    """Chance, or the best possible: drawn thin and grey."""


@_drawn
def recall_figure(lines: Sequence[Line]) -> bytes:
    """Recall at k over k, on a logarithmic axis."""
    figure, (axes,) = _figure(4.3, width=NARROW)
    colours = iter(COLOURS)
    styles = iter(("--", ":", "-."))
    for line in lines:
        depth, label = np.arange(1, len(line.values) + 1), _legend(line.name)
        if line.is_bound:
            axes.plot(depth, line.values, color="#777777", lw=1, ls=next(styles), label=label)
        else:
            axes.plot(depth, line.values, color=next(colours), lw=1.8, label=label)
    longest = max(len(line.values) for line in lines)
    axes.set_xscale("log")
    ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= longest]
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="k (candidates looked at)", ylabel="recall at k", ylim=(0, 1.03))
    axes.set_xlim(1, max(longest, 2))
    figure.legend(loc="outside lower center", ncols=2)  # beside it, a phone would cut it off
    return figure


@_drawn
def alignment_figure(video: Alignment) -> bytes:
    """Sentences down, seconds across; frames are annotated spans, dots the best seconds."""
    from matplotlib.patches import Rectangle

    shown = slice(0, MOST_ROWS)
    similarity = np.where(video.coverage > 0, video.similarity, np.nan)[shown]
    sentences = video.sentences[shown]
    rows, seconds = similarity.shape
    figure, (axes,) = _figure(min(1.4 + 0.2 * rows, 30))
    picture = axes.imshow(
        similarity, aspect="auto", interpolation="nearest", extent=(0, seconds, rows - 0.5, -0.5)
    )
    axes.set_facecolor("#bbbbbb")
    axes.grid(False)
    best = video.similarity[shown].argmax(axis=1)
    for row, (aligned, start, end) in enumerate(sentences):
        if aligned != 1:
            continue
        end = max(end, start + 0.5)
        for colour, width in (("black", 3.0), ("white", 1.4)):
            axes.add_patch(
                Rectangle((start, row - 0.42), end - start, 0.84, fill=False, ec=colour, lw=width)
            )
        if video.similarity[row, best[row]] > UNTOUCHED:
            right = np.floor(sentences[row, 1]) <= best[row] <= np.ceil(sentences[row, 2])
            axes.plot(
                best[row] + 0.5, row, marker="o" if right else "X", ms=5 if right else 6,
                mfc="#ffffff" if right else "#e0201b", mec="black", mew=0.8, ls="none",
            )  # fmt: skip
    labels = [_short(text) for text in video.texts[shown]]
    axes.set_yticks(range(rows), labels, fontsize=7.5)
    for label, (aligned, _, _) in zip(axes.get_yticklabels(), sentences, strict=True):
        if aligned != 1:
            label.set(color="#777777", style="italic")
    axes.set_xlabel("second")
    figure.colorbar(picture, ax=axes, label="cosine", fraction=0.03, pad=0.01)
    return figure


@_drawn
def paragraph_figure(pair: PairPicture, texts: Sequence[str]) -> bytes:
    """Captions down, clips across: similarity with the DTW path, and the transport plan."""
    from matplotlib.colors import PowerNorm

    n, k = pair.similarity.shape
    figure, (left, right) = _figure(min(1.6 + 0.28 * n, 30), 2, width=11.0, sharey=True)
    common = {"aspect": "auto", "interpolation": "nearest"}
    shown = left.imshow(pair.similarity, **common)
    captions, clips = zip(*pair.path, strict=True)
    masses = PowerNorm(0.5, 0, 1)  # a mass that is spread over a row can be seen
    left.plot(clips, captions, color="black", lw=3.2)
    left.plot(clips, captions, color="white", lw=1.6, marker="o", ms=4, mec="black", mew=0.7)
    left.set_title("similarity (scaled to 0..1) and the path of exact DTW", fontsize=9)
    plan = right.imshow(pair.plan, norm=masses, **common)
    left_out = np.setdiff1d(np.arange(k), pair.kept)
    for axes in (left, right):
        axes.grid(False)
        axes.set_xlabel("clip")
        axes.set_xticks(_ticks(k), [str(clip + 1) for clip in _ticks(k)])
        for clip in left_out:
            axes.axvspan(clip - 0.5, clip + 0.5, color="white", alpha=0.65, lw=0)
    right.set_title(
        f"transport plan; {pair.bucket_share:.0%} of the mass in the bucket", fontsize=9
    )
    left.set_yticks(range(n), [_short(text) for text in texts], fontsize=7.5)
    figure.colorbar(shown, ax=left, fraction=0.05, pad=0.01)
    figure.colorbar(plan, ax=right, fraction=0.05, pad=0.01, label="mass")
    return figure


@_drawn
def training_figure(curves: Mapping[str, tuple[Curve | None, Curve | None]]) -> bytes:
    """Numbers over updates, one panel a number.

    Args:
        curves: name -> its curve in training and in validation, either of which may be missing.
    """
    count = len(curves)
    figure, panels = _figure(3.2, count, width=max(5.5, 3.6 * count))
    for axes, (name, (train, valid)) in zip(panels, curves.items(), strict=True):
        for curve, label, style in (
            (train, "training", {"color": COLOURS[0], "lw": 1.2}),
            (valid, "validation", {"color": COLOURS[1], "marker": "o", "ms": 4, "lw": 1.2}),
        ):
            if curve is not None:
                axes.plot(curve.updates, curve.values, label=label, **style)
        axes.set_title(_plain(name), fontsize=10)
        axes.set_xlabel("updates")
        axes.legend(fontsize=8)
    return figure


def _ticks(count: int) -> list[int]:
    step = max(1, -(-count // 20))
    return list(range(0, count, step))


def _short(text: str) -> str:
    return textwrap.shorten(_plain(text), LONGEST_TEXT, placeholder="…")


def _legend(name: str) -> str:
    """A name that a legend shows: it leaves those out that begin with an underscore."""
    plain = _plain(name)
    return f" {plain}" if plain.startswith("_") else plain


def _plain(text: str) -> str:
    """A text that can be drawn: half a pair of UTF-16, as in a path of odd bytes, cannot."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
