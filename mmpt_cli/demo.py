"""`mmpt demo`: a corpus in miniature (`make`), and the whole method on it (`run`)."""

import argparse

from mmpt.demo import CorpusSettings, make_corpus
from mmpt.demo.corpus import summary
from mmpt_cli import demo_run, demo_videos
from mmpt_cli.evaluation_options import given_path


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mmpt demo", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_make(commands)
    _add_run(commands)
    return parser


def main(argv: list[str]) -> int:
    """Runs `mmpt demo COMMAND ...`; returns the exit status.

    Raises:
        ConfigError, DataError: what was asked for is not possible.
    """
    args = build_parser().parse_args(argv)
    return args.run(args)


def _add_make(commands) -> None:
    default = CorpusSettings()
    parser = commands.add_parser(
        "make",
        help="write the demo corpus",
        description="Writes a seeded corpus in the file forms of HowTo100M and of every downstream "
        "set (MSR-VTT and its questions, YouCook2, COIN, DiDeMo, CrossTask, HTM-Align), with "
        "planted steps, noisy captions, their truth (truth.json) and a tiny BERT.  The same "
        "settings give the same files; made before, nothing is done.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=_make)
    # options without a default worth showing leave their name out, and the library's own holds
    unset = {"default": argparse.SUPPRESS}
    parser.add_argument(
        "--out", type=given_path, required=True, metavar="DIR", help="folder to make", **unset
    )
    parser.add_argument(
        "--bert-name",
        default=default.bert_name,
        metavar="NAME",
        help="folder of the tiny BERT; bert-base-uncased: the paper's job files find theirs",
    )
    number, share = {"type": int, "metavar": "N"}, {"type": float, "metavar": "F"}
    for option, form, text in (
        ("--videos", number, "training videos"),
        ("--seed", number, "of everything drawn"),
        ("--irrelevant", share, "share of all captions that are about nothing that is seen"),
        ("--shift-noise", share, "share of the other captions said seconds too early or too late"),
        ("--filler", share, "share of the other captions with words that say nothing"),
        ("--silent", share, "share of steps that nobody talks about"),
        ("--test-videos", number, "videos of the MSR-VTT-form test set"),
        ("--align-videos", number, "videos of the HTM-Align-form test set"),
        ("--youcook-videos", number, "videos of the YouCook2-form test set"),
        ("--coin-videos", number, "videos of either subset of the COIN-form set"),
        ("--didemo-videos", number, "videos of the DiDeMo-form test set"),
        ("--crosstask-videos", number, "videos of every task of the CrossTask-form set"),
        ("--shard-size", number, "videos in one feature shard"),
    ):
        name = option.removeprefix("--").replace("-", "_")
        parser.add_argument(option, default=getattr(default, name), help=text, **form)
    for option, text in (
        ("--per-video-features", "also one feature file a video"),
        ("--force", "make it anew where a demo corpus is, whatever it was made with"),
    ):
        parser.add_argument(option, action="store_true", help=text, **unset)


def _add_run(commands) -> None:
    text = "make the corpus, train both stages, evaluate, print one table (minutes, on the CPU)"
    parser = commands.add_parser("run", help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(run=lambda args: demo_videos.run() if args.from_videos else demo_run.run())
    parser.add_argument(
        "--from-videos",
        action="store_true",
        help="begin with video files: render clips, extract features (S3D, random weights), make "
        "shards and tokens, then train and evaluate",
    )


def _make(args: argparse.Namespace) -> int:
    settings = {name: value for name, value in vars(args).items() if name not in ("run", "out")}
    make_corpus(args.out, **settings)
    print(summary(args.out))
    return 0
