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
    "docs/performance.md",
    "docs/study.md",
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


def test_anchors_of_links_are_headings():
    for document in DOCUMENTS:
        base = (ROOT / document).parent
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", (ROOT / document).read_text()):
            named = base / target if target else ROOT / document
            headings = re.findall(r"^#+ (.+)$", named.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, (document, target, anchor)


def test_the_guide_of_tasks_names_what_there_is():
    from mmpt.config.class_names import CLASS_NAMES
    from mmpt.proof import TASKS

    text = (ROOT / "endtask.md").read_text()
    for path in re.findall(r"projects/retri/(?:norton|videoclip)/\w+\.yaml", text):
        assert (ROOT / path).is_file(), path
    table = text.partition("\n## ")[0]
    jobs = set(re.findall(r"`(test_\w+)`", table))
    assert jobs == {path.stem for path in (ROOT / "projects/retri/norton").glob("test_*.yaml")}
    named = set(re.findall(r"`(\w+(?:Predictor|Metric))`", table))
    assert named < {*CLASS_NAMES["predictor"], *CLASS_NAMES["metric"]}
    assert set(CLASS_NAMES["predictor"]) <= named
    proof = text.partition("\nThe tasks are ")[2].partition(";")[0]
    assert set(re.findall(r"`([\w-]+)`", proof)) == set(TASKS)
