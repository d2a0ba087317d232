"""`mmpt study`: a tiny one through the command line, stopped and gone on with; what is refused."""

import json
import re
import shutil
import sys

import pytest
import torch
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.optim.lr_scheduler.polynomial_decay_schedule import (
    PolynomialDecayLRSchedule,
    PolynomialDecayLRScheduleConfig,
)

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.study import cells as cells_module
from mmpt.study.cells import Cell, claim, read_cell
from mmpt.study.settings import METRICS, STAGE_1, row_files
from mmpt.study.tables import BEGIN, END, check_document, comparison, plot, table, write_document
from mmpt.study.training import learning_rate_factor
from mmpt_cli import study as command
from mmpt_cli.main import main

SIZES = [
    *("videos=16", "test_videos=8", "align_videos=3", "youcook_videos=6", "bert_hidden=16"),
    *("finetune_videos=1", "coin_videos=1", "didemo_videos=1", "crosstask_videos=3"),
]
ROWS = ["clip_caption", "full"]


def arguments(out, *more, rows=ROWS, updates=2):
    given = ["study", "--rows", *rows, "--noise", "0.3", "--seeds", "1", "--updates", str(updates)]
    return [*given, "--first-updates", "2", "--corpus", *SIZES, "--out", str(out), *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that was stopped in its second row and gone on with; and what was evaluated."""
    folder = tmp_path_factory.mktemp("study")
    trained = []
    real = command.evaluate

    def stopped(model, cell):
        trained.append(cell.row)
        if cell.row == "full" and trained.count("full") == 1:
            raise KeyboardInterrupt
        return real(model, cell)

    document = folder / "page.md"
    document.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            main(arguments(folder / "out"))
        assert not (folder / "out/study.md").exists()
        assert main(arguments(folder / "out", "--write", str(document))) == 0
    return folder, trained


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    return tmp_path / "out"


def cell(out, row):
    return Cell(out, 0.3, 1, row)


def test_what_was_finished_is_not_done_again(finished):
    assert finished[1] == [STAGE_1, "clip_caption", "full", "full"]


def test_a_finished_cell_holds_its_numbers(finished):
    found = read_cell(cell(finished[0] / "out", "full"))
    assert set(found["metrics"]) == set(METRICS)
    assert all(0 <= value <= 1 for value in found["metrics"].values())
    assert found["items"]["vtt"] == 8 and found["training_loss"] > 0


def test_a_cell_that_is_done_again_has_the_same_numbers(copied):
    path = cell(copied, "full").file("json")
    before = json.loads(path.read_text())
    path.unlink()
    assert main(arguments(copied)) == 0
    after = json.loads(path.read_text())
    assert before | {"seconds": 0} == after | {"seconds": 0}


def test_the_document_gets_command_tables_and_plot_between_its_marks(finished):
    folder, _ = finished
    text = (folder / "page.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "mmpt study --rows clip_caption full" in text and "**Noise 0.3**" in text
    assert re.search(r"\| `full` \| \d\.\d{3} \|", text) and "![The same numbers](page.png)" in text
    assert (folder / "page.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="holds something that is no study"):
        main(arguments(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_other_settings_need_another_folder(copied):
    with pytest.raises(ValueError, match=r"other updates \(2, now 3\); choose another --out"):
        main(arguments(copied, updates=3))
    with pytest.raises(ValueError, match=r"other corpus \(videos 16, now 24\)"):
        main([*arguments(copied), "--corpus", *SIZES, "videos=24"])


def test_a_row_whose_loss_has_changed_is_refused(copied, monkeypatch):
    monkeypatch.setattr(cells_module, "own_loss", lambda row: {"loss_cls": "NCE"})
    with pytest.raises(ValueError, match=r"another loss than the job file of stage1 has now"):
        main(arguments(copied))


def test_a_broken_cell_is_named(copied):
    path = cell(copied, "full").file("json")
    path.write_text('{"metrics"')
    with pytest.raises(ValueError, match=r"full\.json: cannot be read .*; delete it"):
        main(arguments(copied))


def test_a_cell_that_another_process_works_on_is_left_to_it(copied):
    one = cell(copied, "bucket_10")
    with claim(one) as mine, claim(one) as too:
        assert mine and not too
    with claim(one) as mine:
        assert mine
    with claim(cell(copied, "full")) as finished_meanwhile:
        assert not finished_meanwhile


def test_stage_1_without_its_weights_is_not_finished(copied):
    assert read_cell(cell(copied, STAGE_1)) is not None
    cell(copied, STAGE_1).file("pt").unlink()
    assert read_cell(cell(copied, STAGE_1)) is None


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path):
    out = tmp_path / "out"
    assert main(arguments(out, "--jobs", "2", rows=[*ROWS, "bucket_10", "bucket_50"])) == 0
    assert all(read_cell(cell(out, row)) for row in (STAGE_1, *ROWS, "bucket_10", "bucket_50"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--rows", "ful"], r"--rows: unknown name 'ful' \(did you mean full\?\); known names"),
        (["--rows", "full", "full"], "--rows: got full full; one or more, each once, are needed"),
        (["--noise", "0.95"], "--noise: got 0.95, a share from 0 to 0.9 is needed"),
        (["--noise", "nan"], "--noise: got nan, a share"),
        (["--noise", "0.1", "0.1000000001"], "--noise: got 0.1 0.1; one or more, each once"),
        (["--seeds", "-1"], "--seeds: got -1, a number from 0 to"),
        (["--updates", "0"], "--updates: got 0, at least 1 is needed"),
        (["--first-updates", "0"], "--first-updates: got 0, at least 1 is needed"),
        (["--corpus", "video=9"], r"--corpus: unknown name 'video' \(did you mean videos\?\)"),
        (["--corpus", "silent=0.3"], "--corpus: unknown name 'silent'"),
        (["--corpus", "videos=0"], "demo corpus: videos is 0; allowed is an integer from 1"),
        (["--corpus", "videos"], "--corpus: got 'videos', KEY=NUMBER is needed"),
        (["--jobs", "0"], "--jobs: got 0, a number from 1 to 64 is needed"),
        (["--write", "none.md"], "--write: none.md cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        main(["study", *given])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_its_place_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(ValueError, match=r"--write: page\.md needs the lines"):
        main(["study", "--write", "page.md"])


def study(first, second):
    """Two rows with two seeds; `second` minus `first` is their difference in every metric."""
    return {
        (0.2, seed, row): {"metrics": dict.fromkeys(METRICS, value)}
        for row, values in (("clip_caption", first), ("full", second))
        for seed, value in enumerate(values)
    }


def test_table_has_mean_and_deviation_over_seeds():
    lines = table(study([0.5, 0.7], [0.4, 0.4])).splitlines()
    assert lines[0] == "**Noise 0.2**"
    assert lines[4].startswith("| `clip_caption` | 0.600 ± 0.141 |")
    assert lines[5].startswith("| `full` | 0.400 ± 0.000 |")


@pytest.mark.parametrize(
    ("second", "row"),
    [
        ([0.6, 0.8], "| `full` | 5 | 0 | 0 |"),
        ([0.4, 0.1], "| `full` | 0 | 5 | 0 |"),
        ([0.6, 0.6], "| `full` | 0 | 0 | 5 |"),
        ([0.6, 0.7], "| `full` | 0 | 0 | 5 |"),
    ],
)
def test_a_comparison_counts_where_all_seeds_agree(second, row):
    assert row in comparison(study([0.5, 0.7], second))


def test_plot_of_one_noise_rate():
    assert plot(study([0.5, 0.7], [0.4, 0.4])).startswith(b"\x89PNG")


def test_writing_again_replaces_the_block_alone(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"a\n{BEGIN}\n{END}\nb\n")
    for block in ("one", "two"):
        write_document(path, block)
    assert path.read_text() == f"a\n{BEGIN}\ntwo\n{END}\nb\n"


def test_learning_rate_is_fairseq_s():
    parameter = torch.nn.Parameter(torch.zeros(1))
    adam = FairseqAdam(FairseqAdamConfig(lr=[2.0], adam_betas="(0.9, 0.98)"), [parameter])
    asked = PolynomialDecayLRScheduleConfig(warmup_updates=4, total_num_update=12, lr=[2.0])
    scheduler = PolynomialDecayLRSchedule(asked, adam)
    scheduler.step_begin_epoch(1)
    wanted = [adam.get_lr(), *(scheduler.step_update(done) for done in range(1, 13))]
    found = [2 * learning_rate_factor(done, warmup=4, updates=12) for done in range(13)]
    assert found == pytest.approx(wanted)


def test_the_page_names_every_row_and_has_its_place():
    page = REPOSITORY_ROOT / "docs/study.md"
    check_document(page)
    table_of_rows = page.read_text().partition("| the loss |")[2].partition("\n\n")[0]
    first_columns = [line.split("|")[1] for line in table_of_rows.splitlines()[2:]]
    assert sorted(re.findall(r"`(\S+)`", " ".join(first_columns))) == sorted(row_files())
    for given in re.findall(r"^mmpt (study [^#\n]*)", page.read_text(), re.MULTILINE):
        command.build_parser().parse_args(given.split()[1:])


def test_without_matplotlib_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match="matplotlib, which draws the plot, is not installed"):
        main(["study"])
    assert not list(tmp_path.iterdir())
