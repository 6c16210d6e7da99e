"""What happens every so many steps of `SparseTrainer.train`."""

import json
import pathlib
import sys
import time

import keras

from rigl_tf import checks
from rigl_tf import mask_files
from rigl_tf import masking


class Callback:
    """Base: sums what the steps report and acts every `interval` steps.

    Args:
        interval: steps between two calls of `fire`; the last step fires too.
    """

    def __init__(self, interval):
        checks.at_least("interval", interval, 1, integer=True)
        self.interval = interval
        self._totals = 0.0

    def add(self, totals):
        """Add sums `[weights, loss, metrics...]` of the latest steps."""
        self._totals = self._totals + totals.astype("float64")

    def fire(self, trainer, step):
        """Act after `step` steps; called by the trainer.

        Args:
            trainer: the `SparseTrainer`.
            step: optimizer steps completed, int.
        """
        means = trainer.means(self._totals)
        self._totals = 0.0
        self.on_interval(trainer, step, means)

    def on_interval(self, trainer, step, means):
        """Override: act on the mean loss and metrics since the last call."""


class LogMetrics(Callback):
    """Append one JSON object per interval to a file, and show progress.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two lines.
        steps: steps of the whole run.
        stream: where progress is shown: a bar on a terminal, else a line per
            tenth of the run.
    """

    def __init__(self, path, interval, steps, stream=None):
        super().__init__(interval)
        self._path = pathlib.Path(path)
        self._steps = steps
        self._stream = stream or sys.stdout
        self._started = time.monotonic()
        self._tenths = 0
        self._bar = None
        if self._stream.isatty():
            # All values are means of an interval already.
            self._bar = keras.utils.Progbar(
                steps, unit_name="step", stateful_metrics=["loss", "accuracy"]
            )

    def on_interval(self, trainer, step, means):
        """Write the line."""
        record = {"step": step, **means}
        record["wall_seconds"] = round(time.monotonic() - self._started, 3)
        append_json_line(self._path, record)
        if self._bar is not None:
            self._bar.update(step, list(means.items()), step == self._steps)
        elif step * 10 // self._steps > self._tenths:
            self._tenths = step * 10 // self._steps
            values = ", ".join(f"{n} {v:.4f}" for n, v in means.items())
            print(f"step {step}/{self._steps}: {values}", file=self._stream)


class Evaluate(Callback):
    """Evaluate every so many steps and append the result to a file.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two evaluations.
        dataset: finite `tf.data.Dataset`.
    """

    def __init__(self, path, interval, dataset):
        super().__init__(interval)
        self._path = pathlib.Path(path)
        self._dataset = dataset

    def on_interval(self, trainer, step, means):
        """Evaluate and write the line."""
        means = trainer.evaluate(self._dataset)
        record = {"step": step}
        record.update({f"test_{name}": v for name, v in means.items()})
        append_json_line(self._path, record)


class RecordMasks(Callback):
    """Save all masks every so many steps, as `<directory>/<step>.npz`.

    Args:
        directory: where the files go; created if need be.
        interval: steps between two records.
    """

    def __init__(self, directory, interval):
        super().__init__(interval)
        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)

    def record(self, model, step):
        """Save the masks of `model` as those of `step`."""
        masks = {
            item.path: item.mask.numpy()
            for item in masking.masked_kernels(model)
        }
        mask_files.save(self._directory / f"{step:08d}.npz", masks)

    def on_interval(self, trainer, step, means):
        """Save the masks."""
        self.record(trainer.model, step)


def append_json_line(path, record):
    """Append one JSON object to a file of them."""
    with open(path, "a") as stream:
        stream.write(json.dumps(record) + "\n")
