"""The page: well-formed, self-contained, with everything on it; the command that writes it."""

import json
import sys
from xml.etree import ElementTree

import pytest

from mmpt.errors import DataError, LaunchError
from mmpt.report import drawing, published
from mmpt.report.drawing import require_matplotlib
from mmpt.report.html import Section, page, table, tag, text
from mmpt_cli import report
from mmpt_cli.entry import run_command

from .conftest import NASTY, write_events, write_results, write_run

SECTIONS = ["numbers", "all", "recall", "queries", "alignment", "paragraphs", "training", "sources"]


def written(places, out, *arguments):
    """The page as parsed XML, which is stricter than a browser."""
    assert report.main([*map(str, places), "--out", str(out), *arguments]) == 0
    return ElementTree.fromstring((out / "index.html").read_text().removeprefix("<!DOCTYPE html>"))


def words(element):
    return " ".join("".join(element.itertext()).split())


def rows_of(element):
    """The words of each row, cell by cell."""
    return [" ".join(filter(None, map(words, row))) for row in element.iter("tr")]


@pytest.fixture(scope="module", autouse=True)
def coarse_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "DPI", 30)  # most of the time goes into pixels
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, coarse_pictures):
    """The page on one run with all kinds of results, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return written([write_run(folder / "runs/one")], folder / "out"), folder / "out"


def test_everything_is_on_the_page_in_its_order(whole):
    found, folder = whole
    assert [section.get("id") for section in found.iter("section")] == SECTIONS
    pictures = sorted(path.name for path in (folder / "pictures").iterdir())
    kinds = [name[4:-4] for name in pictures]
    assert kinds == [
        *("recall", "recall", "paragraph", "paragraph", "paragraph"),
        *("alignment", "alignment", "loss", "transport"),
    ]
    assert len(list(found.iter("img"))) == len(pictures)
    assert all(name in words(found) for name in pictures)
    assert "problem" not in [p.get("class") for p in found.iter("p")]


def test_the_page_needs_nothing_else_and_runs_nothing(whole):
    found, _ = whole
    for element in found.iter():
        assert element.tag not in {"script", "link", "iframe", "object"}
        assert element.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert element.get("href", "#").startswith("#")
        assert not [name for name in element.attrib if name.startswith("on")]
    style = next(found.iter("style")).text
    assert "url(" not in style and "@import" not in style
    assert "@media print" in style and "overflow-x: auto" in style
    metas = {
        meta.get("name") or meta.get("http-equiv"): meta.get("content")
        for meta in found.iter("meta")
    }
    assert metas["viewport"].startswith("width=device-width")
    assert metas["Content-Security-Policy"].startswith("default-src 'none'")


def test_texts_of_the_data_stay_texts(whole):
    found, _ = whole
    assert '<script>alert("1 & 2")</script> $x_1$' in words(found)
    assert text(NASTY).endswith("$x_1$ \ufffd") and "<" not in text(NASTY)
    assert tag("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'


def test_first_numbers_stand_between_chance_and_bound(whole):
    found, _ = whole
    rows = rows_of(next(found.iter("section")))
    assert rows[1:5] == [
        "4 items R1 R5 R10 MR",
        "one/checkpoint_best test_vtt 0.500 [0.000, 1.000] 1.000 [1.000, 1.000] 1.000 "
        "[1.000, 1.000] 1.5 [1.0, 2.0]",
        "chance 0.250 2.5",
        "at most 0.750",
    ]
    assert "No published numbers stand here" in words(found)
    assert [row for row in rows if row.startswith("at most 1.000")]  # of the alignment


def test_published_numbers_stand_beside_their_own(tmp_path, monkeypatch):
    monkeypatch.setitem(published.ITEMS, "test_vtt_zs", 4)
    job = "projects/retri/norton/test_vtt_zs.yaml"
    one = write_results(tmp_path / "n", "test_vtt_zs", "RetrievalMetric", job=job)
    found = written([one], tmp_path / "out")
    rows = rows_of(found)
    assert "Norton, as published (test_vtt_zs) 0.107 0.241 0.316" in rows
    assert "VideoCLIP, as published (test_vtt_zs) 0.104 0.222 0.300" in rows
    assert f"Published numbers: {published.SOURCE}." in words(found)
    assert rows.count("Norton, as published (test_vtt_zs) 0.107 0.241 0.316") == 2


def test_what_cannot_be_shown_is_said_and_the_rest_goes_on(results, tmp_path):
    (results / "scores_test_vtt_checkpoint_best.npy").unlink()
    (results / "scores_test_full_checkpoint_best.json").unlink()
    for folder in ("train_inner", "valid"):
        for file in (results / "run_0" / folder).iterdir():
            file.unlink()
    found = written([results], tmp_path / "out")
    problems = [words(p) for p in found.iter("p") if p.get("class") == "problem"]
    assert [line.partition(": ")[2].partition(";")[0] for line in problems] == [
        "no such file",
        "not there",
    ]
    assert "no TensorBoard events of a training" in words(found)
    assert len(list(found.iter("img"))) == 2  # the alignments


def test_videos_are_chosen_by_name(results, tmp_path):
    found = written([results], tmp_path / "out", "--videos=-found,three")
    captions = [words(caption) for caption in found.iter("figcaption")]
    assert [c.split(" (")[0] for c in captions if "(chosen)" in c] == ["-found", "three"]
    assert "2 of 2 alignable sentences found, 1 others" in words(found)
    with pytest.raises(DataError, match="--videos: four in none of the results; they have -found"):
        report.main([str(results), "--out", str(tmp_path / "b"), "--videos", "four"])
    with pytest.raises(DataError, match="--videos x: no result here has pictures of videos"):
        report.main([str(results / "results_test_vtt.json"), "--videos", "x"])
    assert not (tmp_path / "b").exists()


def test_a_good_and_a_bad_video_are_drawn_where_none_is_named(results, tmp_path):
    found = written([results / "results_test_align.json"], tmp_path / "out")
    captions = [words(caption) for caption in found.iter("figcaption")]
    assert captions[0].startswith("-found (best recall)")
    assert captions[1].startswith("lost (middle recall)") and "0 of 2" in captions[1]


def test_a_choice_on_the_test_set_and_failed_checkpoints_are_told(results, tmp_path):
    path = results / "results_test_vtt.json"
    content = json.loads(path.read_text())
    content |= {"selected_on_test": True, "failed": [{"checkpoint": "x.pt", "error": "NaN <b>"}]}
    content["results"].append(content["results"][0] | {"checkpoint": "one/checkpoint_last.pt"})
    path.write_text(json.dumps(content))
    found = words(written([path], tmp_path / "out"))
    assert "a little too good (the best of 2 checkpoints on this test set)" in found
    assert "x.pt was not evaluated: NaN <b>" in found
    assert "test_vtt; the same content as one/checkpoint_best" in found


def test_an_earlier_report_makes_way(results, tmp_path):
    out = tmp_path / "out"
    written([results], out)
    (out / "pictures/mine.png").touch()
    written([results / "results_test_vtt.json"], out)
    assert sorted(p.name for p in (out / "pictures").iterdir()) == [
        *("001-recall.png", "002-loss.png", "003-transport.png", "mine.png")
    ]


def test_the_report_goes_beside_the_results(results, capsys):
    assert report.main([str(results / "results_test_vtt.json")]) == 0
    assert capsys.readouterr().out == f"report: {results}/report/index.html\n"
    assert (results / "report/index.html").is_file()


def test_more_checkpoints_than_colours_are_counted(tmp_path):
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric")
    content = json.loads(path.read_text())
    entry = content["results"][0]
    content["results"] = [entry | {"checkpoint": f"run/checkpoint{n}.pt"} for n in range(12)]
    path.write_text(json.dumps(content))
    write_events(tmp_path / "run_0", "train_inner", loss={1: 1.0})
    assert "Of 12 checkpoints the 10 best are drawn." in words(written([path], tmp_path / "out"))


def test_jobs_that_only_predict_have_no_numbers(tmp_path):
    path = write_results(tmp_path, "vis_vtt", "RetrievalMetric")
    content = json.loads(path.read_text())
    content["config"]["metric"] = None
    content["results"][0] |= {"metrics": {}, "intervals": {}}
    path.write_text(json.dumps(content))
    assert "This job only predicts." in words(written([path], tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "error: nowhere: no such file or folder\n"),
        (["."], "error: .: no results_*.json in it or below; `mmpt predict` writes them\n"),
        (["x.json"], "error: x.json: not a results file of `mmpt predict`"),
    ],
)
def test_wrong_use_is_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments == ["x.json"]:
        (tmp_path / "x.json").write_text('{"a": 1}')
    assert run_command(report.main, arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written_to_is_named(results, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match="file/out: results cannot be written there"):
        report.main([str(results), "--out", str(tmp_path / "file/out")])


def test_what_stands_in_the_way_is_said_before_anything_is_drawn(results, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "recall_figure", None)
    out = tmp_path / "out"
    out.mkdir()
    (out / "pictures").touch()
    with pytest.raises(LaunchError, match=r"out/pictures is no folder, .* name another .* --out"):
        report.main([str(results), "--out", str(out)])
    (out / "pictures").unlink()
    (out / "index.html").mkdir()
    with pytest.raises(LaunchError, match=r"out/index.html is a folder, and the page goes there"):
        report.main([str(results), "--out", str(out)])


def changed(path, **changes):
    content = json.loads(path.read_text())
    content["results"][0] |= changes
    path.write_text(json.dumps(content))


def problems_of(found):
    return [words(p) for p in found.iter("p") if p.get("class") == "problem"]


def test_foreign_and_older_results_in_a_folder_do_not_end_the_report(results, tmp_path):
    (results / "results_foreign.json").write_text("{}")
    path = results / "results_test_vtt.json"
    content = json.loads(path.read_text())
    del content["results"][0]["intervals"]
    path.write_text(json.dumps(content))
    found = written([results], tmp_path / "out")
    (line,) = problems_of(next(s for s in found.iter("section") if s.get("id") == "sources"))
    assert line.startswith(f"left out: {results}/results_foreign.json: not a results file")
    assert "one/checkpoint_best test_vtt 0.500 1.000 1.000 1.5" in rows_of(found)


def test_missing_numbers_are_dashes(results, tmp_path):
    path = results / "results_test_vtt.json"
    changed(path, metrics={"R1": None, "R5": float("nan")}, intervals={"R5": [None, 1]})
    found = written([path], tmp_path / "out")
    assert "one/checkpoint_best test_vtt – –" in rows_of(found)
    assert not [row for row in found.iter("tr") if "best" in (row.get("class") or "").split()]


def test_damaged_names_are_said_in_their_sections(results, tmp_path):
    for job in ("test_vtt", "test_full"):
        file = results / f"scores_{job}_checkpoint_best.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"texts": None}))
    found = written([results], tmp_path / "out")
    assert [line.partition(": ")[2] for line in problems_of(found)] == [
        "texts: needed a list of strings; got NoneType"
    ] * 2


def test_equal_names_in_other_folders_are_all_shown(tmp_path):
    for row in ("full", "clip_caption"):
        for job, metric in (
            ("test_full", "FullVideoRetrievalMetric"),
            ("test_align", "HTMAlignMetric"),
        ):
            write_results(tmp_path / row / "seed_1", job, metric)
    found = written([tmp_path], tmp_path / "out", "--videos=-found,one")
    captions = [words(caption) for caption in found.iter("figcaption")]
    for kind in ("-found (chosen)", "full/seed_1/checkpoint_best: share"):
        assert any(caption.startswith(kind) for caption in captions)
    alignments = [c for c in captions if c.startswith("-found")]
    assert [c.split(", ")[1].split(":")[0] for c in alignments] == [
        "clip_caption/seed_1/checkpoint_best",
        "full/seed_1/checkpoint_best",
    ]
    assert len([c for c in captions if c.startswith("one (chosen)")]) == 2


def test_odd_bytes_in_a_path_are_drawn_and_written(tmp_path, capsys):
    path = write_results(tmp_path / "\udcff", "test_vtt", "RetrievalMetric")
    changed(path, checkpoint="runs/\udcff/_best\ud800.pt")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"job": "jobs/\udc80\ud801.yaml"}))
    found = written([path], path.parent / "out")
    assert "\\udcff/out/index.html" in capsys.readouterr().out
    assert "\ufffd/_best\ufffd" in words(found) and len(list(found.iter("img"))) == 1


def test_names_of_a_legend_can_be_drawn():
    assert drawing._legend("_a\ud800") == " _a "  # matplotlib leaves out what begins with _


def test_all_numbers_are_a_row_a_checkpoint_and_six_a_table(tmp_path):
    metrics = {f"m{n}": n / 16 for n in range(8)}
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric")
    content = json.loads(path.read_text())
    entry = content["results"][0] | {"metrics": metrics, "intervals": {}}
    content["results"] = [entry | {"checkpoint": f"run/checkpoint{n}.pt"} for n in range(9)]
    path.write_text(json.dumps(content))
    section = list(written([path], tmp_path / "out").iter("section"))[1]
    first, second = section.iter("table")
    assert rows_of(first)[:2] == [
        "m0 m1 m2 m3 m4 m5",
        "run/checkpoint0 0.000 0.062 0.125 0.188 0.250 0.312",
    ]
    assert rows_of(second)[0] == "m6 m7" and len(rows_of(second)) == 10


def test_a_limited_evaluation_says_so_and_stands_beside_nothing_published(tmp_path, monkeypatch):
    monkeypatch.setitem(published.ITEMS, "test_vtt_zs", 4)
    job = "projects/retri/norton/test_vtt_zs.yaml"
    one = write_results(tmp_path, "test_vtt_zs", "RetrievalMetric", job=job, limit=4)
    found = words(written([one], tmp_path / "out"))
    assert "test_vtt_zs; the first 4 items alone" in found and "as published" not in found


def test_the_reason_of_a_choice_on_the_test_set_is_told(tmp_path):
    reason = "its training validated on the test set"
    more = {"selected_on_test": True, "selected_on_test_reason": reason}
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric", **more)
    assert f"a little too good ({reason})" in words(written([path], tmp_path / "out"))


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(LaunchError, match=r"matplotlib.* is not installed: pip .*\[report\]"):
        require_matplotlib()


def test_a_table_and_a_page_by_hand():
    made = table(["a", "b"], [["<", tag("td", 1, class_="n")]], numbers=1)
    assert '<tr><td>&lt;</td><td class="n">1</td></tr>' in made
    sections = [Section("x", "X & Y", made), Section("y", "Y", tag("p"))]
    document = page("T", tag("p", "lead"), sections)
    assert document.count("<section") == 2 and '<a href="#x">X &amp; Y</a>' in document
