"""The report: one page that needs nothing else, and its pictures as files."""

import os.path
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import mmpt
from mmpt.errors import DataError, LaunchError, first_few
from mmpt.io.atomic import atomic_write
from mmpt.io.files import no_file
from mmpt.report import drawing
from mmpt.report.grouping import Look
from mmpt.report.html import Html, Section, join, page, paragraph, picture, tag
from mmpt.report.look import look_at
from mmpt.report.overview import all_numbers, overview, sources
from mmpt.report.results import Group, ResultsFile, group_results, read_files
from mmpt.report.training import Training, losses, read_training

PAGE, PICTURES = "index.html", "pictures"
"""Names in the report's folder."""
OURS = re.compile(r"\d{3}-[a-z]+\.png")
"""Pictures of an earlier report, which make way."""
TRANSPORT = ("bucket_mass", "bucket_mass_own", "plan_diagonal", "p")
"""Numbers of a training about the transport."""
MOST_PANELS = 4


class Gallery:
    """The pictures of a report, by file name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def add(self, kind: str, png: bytes, told: str, caption: object) -> Html:
        """Keeps a picture as `NUMBER-KIND.png`; returns its figure, which names that file."""
        name = f"{len(self.files) + 1:03d}-{kind}.png"
        self.files[name] = png
        return picture(png, told, join([caption, f" ({PICTURES}/{name})"]))


def write_report(places: Iterable[Path], out: Path, chosen: Sequence[str] = ()) -> Path:
    """Reads results and writes `index.html` and `pictures/*.png`.

    Args:
        places: results files, or folders that hold some.
        out: the folder of the report; it is made where it is not there.
        chosen: ids of the videos whose alignments are drawn; none: a good, a middle, a bad one.

    Returns:
        The page.

    Raises:
        DataError: no results, a file that holds none, or a video that no result has.
        LaunchError: matplotlib is not installed, or something stands where the report goes.
    """
    drawing.require_matplotlib()
    check_free(out)
    files, problems = read_files(places)
    gallery = Gallery()
    document = _document(files, problems, chosen, gallery)
    folder = out / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in gallery.files.items():
        with atomic_write(folder / name) as handle:
            handle.write(png)
    with atomic_write(out / PAGE) as handle:
        handle.write(document.encode())
    for old in folder.iterdir():
        if OURS.fullmatch(old.name) and old.name not in gallery.files and old.is_file():
            old.unlink()
    return out / PAGE


def check_free(out: Path) -> None:
    """Refuses a folder in which something else has a name of the report: before all is drawn.

    Raises:
        LaunchError: a folder stands where the page goes, or a file where the pictures go.
    """
    page, pictures = out / PAGE, out / PICTURES
    taken = None
    if no_file(page) is not None:
        taken = f"{page} is {no_file(page)}, and the page goes there"
    elif os.path.lexists(pictures) and not pictures.is_dir():
        taken = f"{pictures} is no folder, and the pictures go there"
    if taken:
        raise LaunchError(f"{taken}; move it away, or name another folder with --out")


def _document(
    files: Sequence[ResultsFile], problems: Sequence[str], chosen: Sequence[str], gallery: Gallery
) -> str:
    groups = group_results(files)
    looks = [look_at(group, chosen, gallery.add) for group in groups]
    _check_chosen(chosen, looks)
    sections = [
        Section("numbers", "Results", overview(groups, looks, files)),
        Section("all", "All numbers", all_numbers(groups)),
        Section("recall", "Recall curves", join([look.curves for look in looks])),
        Section("queries", "Easiest and hardest queries", _queries(looks)),
        Section("alignment", "Sentences in time", join([look.alignments for look in looks])),
        Section("paragraphs", "Paragraphs and videos", join([look.paragraphs for look in looks])),
        Section("training", "Training", _trainings(groups, gallery)),
        Section("sources", "What this was made from", sources(files, problems)),
    ]
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    count = sum(len(file.results) for file in files)
    lead = paragraph(
        f"{count} evaluations from {len(files)} results files, on {len(groups)} test sets; made "
        f"{made} by mmpt {mmpt.__version__}.",
        soft=True,
    )
    return page("Video-language evaluation", lead, [s for s in sections if s.content])


def _check_chosen(chosen: Sequence[str], looks: Sequence[Look]) -> None:
    known = sorted(set().union(*(look.videos for look in looks)))
    unknown = [name for name in chosen if name not in known]
    if unknown and not known:
        raise DataError(f"--videos {first_few(unknown)}: no result here has pictures of videos")
    if unknown:
        raise DataError(
            f"--videos: {first_few(unknown)} in none of the results; they have {first_few(known)}"
        )


def _queries(looks: Sequence[Look]) -> Html:
    lists = join([look.queries for look in looks])
    if not lists:
        return lists
    explained = paragraph(
        "Easiest: the own video's score is farthest above the best other one. Hardest: the own "
        "video has the highest rank. Margin: own score less the best other one. Beside a hit "
        "stands what it truly shows: the text that belongs to it."
    )
    return Html(explained + lists)


def _trainings(groups: Sequence[Group], gallery: Gallery) -> Html:
    results = [result for group in groups for result in group.results]
    folders = list(dict.fromkeys(Path(result.checkpoint).parent for result in results))
    parts = []
    for folder in folders:
        parts.append(tag("h3", folder))
        try:
            parts.append(_training(read_training(folder), gallery))
        except DataError as error:
            parts.append(paragraph(str(error), soft=True))
    explained = paragraph(
        "A loss depends on its batches: with retrieved neighbours, which resemble each other, it "
        "is higher than with random videos. So losses of two runs do not tell which model is "
        "better."
    )
    return Html(explained + join(parts))


def _training(training: Training, gallery: Gallery) -> Html:
    figures = []
    transport = [n for n in TRANSPORT if any(name == n for _, name in training.curves)]
    captions = {
        "loss": "The loss and its parts, each the mean since the point before; validation where "
        "there is one.",
        "transport": "The transport in training: share of the mass in the prompt bucket (all "
        "pairs; own pairs), share of the transported mass on matched clips, the bucket's value p.",
    }
    for kind, names in (("loss", losses(training)[:MOST_PANELS]), ("transport", transport)):
        if names:
            panels = {
                name: tuple(training.curves.get((part, name)) for part in ("train", "valid"))
                for name in names
            }
            png = drawing.training_figure(panels)
            told = f"Training curves of {training.folder}: {', '.join(names)}"
            figures.append(gallery.add(kind, png, told, captions[kind]))
    return join(figures)
