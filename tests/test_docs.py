"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "DATASET.md",
    "endtask.md",
    "pretraining.md",
    "docs/parity.md",
    "docs/notation.md",
    "docs/runs.md",
    "docs/extending.md",
]


NAMED_SECTION = re.compile(r"^\s*(?:SECTION|section) = \"([A-Z].+)\"$", re.MULTILINE)
NOT_PACKAGES = {"mmpt", "mmpt_cli", "text/markdown", "utf-8", "apache-2"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    base = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (base / target).exists(), target


def test_sections_that_errors_name_are_in_dataset_md():
    headings = re.findall(r"^## (.+)$", (ROOT / "DATASET.md").read_text(), re.MULTILINE)
    named = set()
    for source in (ROOT / "mmpt").rglob("*.py"):
        named |= set(NAMED_SECTION.findall(source.read_text()))
    assert named and named <= set(headings)


def test_the_loss_of_the_guide_works():
    import torch

    (code,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs/extending.md").read_text(), re.S)
    names = {}
    exec(code, names)
    one, other = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    output = names["CosineLoss"]().compute(pooled_video=one, pooled_text=other, caps=None)
    assert output.total == 0.5 and output.parts["cosine"] == 0.5


def test_constraints_pin_what_setup_asks_for():
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M))
    pinned = {name.lower().replace("_", "-") for name in pinned}
    asked = re.findall(r'"([A-Za-z][\w-]*)(?:>=[\w.,<=]*)?",', (ROOT / "setup.py").read_text())
    asked = {name.lower() for name in asked} - NOT_PACKAGES
    assert {"torch", "transformers", "omegaconf", "hydra-core", "pytest"} <= asked
    assert asked <= pinned, asked - pinned
