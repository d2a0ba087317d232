"""Packaging.  Ranges only: the versions that are tested together stand in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

# What fairseq needs at run time.  ve-fairseq itself cannot be listed: it requires torchaudio, of
# which pip takes a CUDA build that breaks transformers on CPU machines.  run.sh installs it with
# --no-deps.
FAIRSEQ_NEEDS = [
    "bitarray>=2",
    "cffi",
    "colorama",
    "cython",
    "hydra-core>=1.3.2,<1.4",
    "lxml",
    "packaging",
    "portalocker",
    "regex",
    "sacrebleu>=2",
    "scikit-learn",
    "scipy",
    "tabulate",
]

setup(
    name="mmpt",
    version="0.1.0",
    description="Norton: video-language pretraining from long, noisy videos by optimal transport",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["mmpt", "mmpt.*", "mmpt_cli", "mmpt_cli.*"]),
    install_requires=[
        "numpy>=1.26",
        "omegaconf>=2.2,<2.4",
        "pyyaml>=6",
        "safetensors>=0.4",
        "tokenizers>=0.20",
        "torch>=2.4",
        "tqdm>=4.60",
        "transformers>=5",
    ],
    extras_require={
        "train": [*FAIRSEQ_NEEDS, "tensorboardX>=2.6"],
        "retrieval": ["faiss-cpu>=1.8"],
        "video": ["av>=14"],
        "shards": ["ijson>=3.2"],
        "slurm": ["submitit>=1.5"],
        "report": ["matplotlib>=3.8"],
        "test": ["pytest>=8"],
        "dev": ["pytest>=8", "ruff>=0.6"],
    },
    entry_points={"console_scripts": ["mmpt = mmpt_cli.main:console"]},
)
