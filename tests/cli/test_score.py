"""`mmpt score`: from video files and sentences to scores."""

import re

from mmpt import api
from mmpt_cli.main import main


def test_prints_the_scores_of_every_text_best_first(
    trained_run, small_video, small_pictures, capsys
):
    job, weights, texts = trained_run / "job.yaml", trained_run / "r.pth", ["cut", "stir it"]
    options = ["--weights", str(weights), "--device", "cpu"]
    assert main(["score", str(job), "--video", str(small_video), "--text", *texts, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = api.load(job, video_weights=weights, device="cpu")
    scores = model.score(texts, [small_video])[:, 0].tolist()
    assert lines[0] == f"{small_video}: 1 s"
    wanted = sorted(zip(texts, scores, strict=True), key=lambda pair: -pair[1])
    for line, (text, score) in zip(lines[1:], wanted, strict=True):
        assert re.search(rf"^  {text} +score +{score:.3f} +best second +0 ", line)
