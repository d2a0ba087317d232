"""Pictures of the transport while a run trains, in TensorBoard beside the run's numbers.

Every `picture_interval` updates, of the first (at most `SEQUENCES`) sequences of the batch, with
captions down, clips across and white lines between sequences.  The scale is the same in all
pictures, 0 (dark) to 1 (yellow); colours follow the square root of a mass, so that one that is
spread over a row can be seen.

similarity  fused similarity of every caption with every clip
plan        what is transported between a caption and a clip; each has mass 1, and what is missing
            went to the prompt bucket
diagonal    a row for each sequence: the mass that every caption sends to its own clip
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import torch

from mmpt.errors import ConfigError
from mmpt.losses.nce import ParagraphContrast, SequenceContrastLoss
from mmpt.utils.heatmap import heatmap, png

SEQUENCES = 4
PIXELS = 384
"""About the width of a picture."""
FOLDER = "pictures"
"""Below the TensorBoard folder: pictures are a series of their own there."""


class Pictures:
    """Draws the transport of every `interval`-th update.

    Args:
        loss: the loss of the job, or a module that holds it.
        interval: updates between pictures.
        logdir: the run's TensorBoard folder.

    Raises:
        ConfigError: the loss has no transport to draw, or there is nothing to draw it into.
    """

    def __init__(self, loss: torch.nn.Module | None, interval: int, logdir: str | None):
        found = [] if loss is None else [m for m in loss.modules() if hasattr(m, "observer")]
        self.losses: list[SequenceContrastLoss] = found
        if not self.losses:
            raise ConfigError(
                f"picture_interval: {interval}, but this loss has no transport to draw; set "
                "loss.sequence_contrast.sequence_contrast_weight, or picture_interval: null"
            )
        if not logdir:
            raise ConfigError(
                f"picture_interval: {interval}, but pictures are drawn in TensorBoard; set "
                "fairseq.common.tensorboard_logdir: run, or picture_interval: null"
            )
        if importlib.util.find_spec("tensorboardX") is None:
            raise ConfigError(
                f"picture_interval: {interval}, but tensorboardX is not installed: "
                "pip install tensorboardX, or set picture_interval: null"
            )
        self.interval = interval
        self.folder = os.path.join(logdir, FOLDER)
        self._writer = None
        self._update = 0

    def prepare(self, update: int) -> None:
        """Called before an update (counted from 1): asks the loss for its matrices if it is due."""
        due = update % self.interval == 0
        self._update = update
        for loss in self.losses:
            loss.observer = self._draw if due else None

    def _draw(self, result: ParagraphContrast) -> None:
        for loss in self.losses:
            loss.observer = None  # of an update's batches, the first
        self._write(transport_pictures(result))

    def _write(self, pictures: dict[str, np.ndarray]) -> None:
        from tensorboardX import FileWriter
        from tensorboardX.proto.summary_pb2 import Summary

        if self._writer is None:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            self._writer = FileWriter(self.folder)
        # tensorboardX would draw through Pillow; its events take a finished PNG as well
        values = [
            Summary.Value(
                tag=tag,
                image=Summary.Image(
                    height=picture.shape[0],
                    width=picture.shape[1],
                    colorspace=3,
                    encoded_image_string=png(picture),
                ),
            )
            for tag, picture in pictures.items()
        ]
        self._writer.add_summary(Summary(value=values), self._update)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file, which a thread writes; the end of the process does so too."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def transport_pictures(result: ParagraphContrast) -> dict[str, np.ndarray]:
    """The pictures of one batch, each [height, width, 3] uint8; see the table above.

    Waits for the device once.
    """
    plans = result.transport.plan
    count, length = min(SEQUENCES, plans.shape[0]), plans.shape[-1]
    size = count * length
    similarity = result.similarity.fused[:size, :size].detach().to(plans.dtype)
    plan = plans[:count, :count].transpose(1, 2).reshape(size, size)
    similarity, plan = torch.stack([similarity, plan]).cpu().numpy()
    diagonal = plan.diagonal().reshape(count, length)
    cell = max(2, PIXELS // size)
    return {
        "similarity": heatmap(similarity, 0, 1, length, cell),
        "plan": heatmap(np.sqrt(plan), 0, 1, length, cell),
        "diagonal": heatmap(np.sqrt(diagonal), 0, 1, None, max(2, PIXELS // length)),
    }
