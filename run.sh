#!/usr/bin/env bash
# One door to the project: sets up .venv where needed, then does what it is asked.
#
#   bash run.sh setup          .venv with what training and evaluation need
#   bash run.sh demo           the whole method on a made corpus, in minutes, on the CPU
#                              (--from-videos: from video files on, features included)
#   bash run.sh paper [ARGS]   the paper's recipe: pretraining, zero-shot evaluations; what it
#                              needs and is not there is listed first (--dryrun: no more than that)
#   bash run.sh test [ARGS]    the test suite (--slow: the slow tests too); ARGS go to pytest
#   bash run.sh lint           ruff, as the house style asks
#
# PYTHON       the interpreter to build .venv with (default: python3; 3.11 or 3.12)
# VENV         another folder than .venv; one of yours keeps the torch that it has
# TORCH_INDEX  a package index for torch alone: PyTorch's CPU wheel index, say, where the default
#              index has only CUDA builds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

VENV=${VENV:-.venv}
FAIRSEQ=ve-fairseq==0.12.3
BASE_EXTRAS=train,retrieval,report,video,shards

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

check_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null ||
        die "$1 is not Python 3.11 or 3.12 ($("$1" --version 2>&1)); set PYTHON to one that is"
}

# A folder of ours that was left half made is made anew; one of the user's is never removed.
make_venv() {
    if [ -e "$VENV/.mmpt-unfinished" ]; then
        say "setup: the last set-up was interrupted, starting over"
        rm -rf "$VENV"
    fi
    if [ ! -x "$VENV/bin/python" ]; then
        local python=${PYTHON:-python3}
        check_python "$python"
        mkdir -p "$VENV"
        touch "$VENV/.mmpt-unfinished" "$VENV/.mmpt-made"
        "$python" -m venv "$VENV"
    fi
    check_python "$VENV/bin/python"
}

# setup EXTRAS: installs the package with these extras, unless exactly that was done before.
setup() {
    local extras=$1 stamp constraints
    stamp="$(cat constraints.txt setup.py pyproject.toml run.sh | sha256sum | cut -c1-16) $PWD"
    grep -qsF "$stamp $extras," "$VENV/.mmpt-ready" && return  # these extras, or these and more
    make_venv
    say "setup: installing into $VENV (about 1.6 GB, a few minutes the first time)"
    constraints=$VENV/.mmpt-constraints.txt
    cp constraints.txt "$constraints"
    if [ ! -e "$VENV/.mmpt-made" ] && "$VENV/bin/python" -c 'import torch' 2>/dev/null; then
        sed -i '/^torch==/d' "$constraints"  # in an environment of the user's, their torch stays
    elif [ -n "${TORCH_INDEX:-}" ]; then
        # torch alone: what it needs comes, pinned, from the usual index below
        "$VENV/bin/python" -m pip install -q -c "$constraints" --no-deps \
            --index-url "$TORCH_INDEX" torch
    fi
    "$VENV/bin/python" -m pip install -q -c "$constraints" -e ".[$extras]"
    "$VENV/bin/python" -m pip install -q --no-deps "$FAIRSEQ"
    if "$VENV/bin/python" -m pip show -q torchaudio 2>/dev/null; then
        say "setup: note: torchaudio is installed; where its build does not fit torch's, transformers fails"
    fi
    "$VENV/bin/python" -c 'import torch, transformers.models.bert, fairseq, mmpt' ||
        die "the set-up is not usable; remove $VENV and run this again"
    rm -f "$VENV/.mmpt-unfinished"
    printf '%s\n' "$stamp $extras," >> "$VENV/.mmpt-ready"
    say "setup: done"
}

command=${1:-help}
[ $# -gt 0 ] && shift
case "$command" in
    setup) setup "$BASE_EXTRAS" ;;
    demo)
        setup "$BASE_EXTRAS"
        exec "$VENV/bin/python" -m mmpt_cli.main demo run "$@"
        ;;
    paper)
        setup "$BASE_EXTRAS"
        exec "$VENV/bin/python" -m mmpt_cli.main paper "$@"
        ;;
    test)
        setup "$BASE_EXTRAS,slurm,test"
        marker=(-m "not slow")
        if [ "${1:-}" = --slow ]; then
            marker=()
            shift
        fi
        exec "$VENV/bin/python" -m pytest "${marker[@]}" "$@"
        ;;
    lint)
        setup "$BASE_EXTRAS,dev"
        "$VENV/bin/ruff" check .
        "$VENV/bin/ruff" format --check .
        ;;
    help | -h | --help) sed -n '2,17s/^# \{0,1\}//p' "$0" ;;
    *) die "unknown command '$command'; known: setup, demo, paper, test, lint, help" ;;
esac
