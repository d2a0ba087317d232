"""The page in a browser, at two widths and on paper; skipped where no Chromium is installed."""

import re
import shutil
import struct
import subprocess

import pytest

from mmpt_cli import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (390, 1280)
PAPER = 718
"""Pixels of A4 between its margins."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    profile = tmp_path_factory.mktemp("profile")

    def run(page, *arguments):
        command = [path, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        command += ["--v=0", f"--user-data-dir={profile}", *arguments, f"file://{page}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    return run


@pytest.fixture
def page(results, tmp_path):
    report.main([str(results), "--out", str(tmp_path / "out")])
    return tmp_path / "out/index.html"


def test_rows_and_pictures_are_rendered_without_an_error(page, browser):
    shown = browser(page, "--dump-dom")
    pictures = len(list((page.parent / "pictures").iterdir()))
    assert shown.stdout.count("<img ") == pictures > 5
    assert shown.stdout.count("<tr") == page.read_text().count("<tr") > 20
    assert shown.stdout.count("<section ") == 8
    assert not re.findall(r"CONSOLE.*|Refused to.*", shown.stderr)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_drawn_and_no_wider_than_the_screen(page, browser, width, tmp_path):
    # a script of the test's own, in a copy without the policy, measures what the browser laid out
    probe = (
        "<script>addEventListener('load', () => { const seen = [...document.images].filter("
        "i => i.complete && i.naturalWidth > 300 && i.getBoundingClientRect().width > 300); "
        "document.title = `${seen.length} ${document.documentElement.scrollWidth} "
        "${innerWidth}` })</script></body>"
    )
    copy = page.with_name("probe.html")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?/>', "", page.read_text())
    copy.write_text(text.replace("</body>", probe))
    shown = browser(copy, f"--window-size={width},2000", "--dump-dom").stdout
    seen, wide, screen = map(int, re.search(r"<title>(\d+) (\d+) (\d+)</title>", shown).groups())
    assert seen == len(list((page.parent / "pictures").iterdir()))
    assert wide <= screen
    picture = tmp_path / "screen.png"
    browser(page, f"--window-size={width},2000", f"--screenshot={picture}")
    drawn = picture.read_bytes()
    assert struct.unpack(">II", drawn[16:24])[1] >= 1500 and len(drawn) > 20_000


def test_no_table_is_cut_off_on_paper(page, browser):
    # what paper gets, on a screen as wide as A4 less its margins
    probe = (
        "<script>addEventListener('load', () => { document.title = Math.max(...[..."
        "document.querySelectorAll('#numbers table, #all table')].map("
        "t => t.getBoundingClientRect().right)) })</script></body>"
    )
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?/>', "", page.read_text())
    text = text.replace("@media print", "@media screen").replace("</body>", probe)
    copy = page.with_name("paper.html")
    copy.write_text(text)
    shown = browser(copy, f"--window-size={PAPER},2000", "--dump-dom").stdout
    assert float(re.search(r"<title>([\d.]+)</title>", shown)[1]) <= PAPER


def test_it_can_be_printed(page, browser, tmp_path):
    browser(page, f"--print-to-pdf={tmp_path / 'page.pdf'}")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF") and len(content) > 50_000
