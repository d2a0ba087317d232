"""The console script."""

import sys
import types

import pytest

from mmpt import __version__
from mmpt_cli import main as cli


def test_help_lists_the_commands(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("launch", "predict", "demo", "--debug"):
        assert name in out
    assert cli.main([]) == 2


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmpt {__version__}\n"


def test_an_unknown_command(capsys):
    assert cli.main(["lunch"]) == 2
    assert "unknown command 'lunch' (did you mean launch?)" in capsys.readouterr().err


def test_a_command_gets_the_rest_and_gives_the_status(monkeypatch):
    seen = []
    fake = types.SimpleNamespace(main=lambda argv: seen.append(argv) or 5)
    monkeypatch.setitem(sys.modules, "fake_command", fake)
    monkeypatch.setitem(cli.COMMANDS, "fake", ("fake_command", "help"))
    assert cli.main(["fake", "a", "--b"]) == 5
    assert seen == [["a", "--b"]]


def test_console_guards_the_commands(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mmpt", "launch", "no.yaml"])
    assert cli.console() == 1
    assert capsys.readouterr().err.startswith("error: no job file 'no.yaml'")
    monkeypatch.setattr(sys, "argv", ["mmpt", "launch", "--help"])
    assert cli.console() == 0
    assert "usage: mmpt launch" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there(name):
    """Each module is found, without running it."""
    from importlib.util import find_spec

    assert find_spec(cli.COMMANDS[name][0]) is not None
