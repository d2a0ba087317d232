"""A job file on disk from a few lines, with the working directory beside it."""

import textwrap

import pytest


@pytest.fixture
def job(tmp_path, monkeypatch):
    """`job("model: {compile: true}")` -> the name of a file with that content, in a fresh cwd."""
    monkeypatch.chdir(tmp_path)

    def write(content: str, name: str = "job.yaml") -> str:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(content))
        return name

    return write
