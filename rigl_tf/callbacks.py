"""What happens every so many steps of `SparseTrainer.train`."""

import functools
import json
import sys
import time

from absl import logging
import keras
import tensorflow as tf

from rigl_tf import checkpoints
from rigl_tf import checks
from rigl_tf import files
from rigl_tf import metrics
from rigl_tf import run_files
from rigl_tf.masks import storage


class Callback:
    """Base: acts every `interval` steps of `SparseTrainer.train`.

    Attributes:
        everywhere: whether it acts in all processes of a run; else the chief
            alone does, and the others wait.
        activity: what its time is counted as.

    Args:
        interval: steps between two calls of `on_interval`; the last step calls
            too.
    """

    everywhere = False
    activity = "other"

    def __init__(self, interval):
        checks.at_least("interval", interval, 1, integer=True)
        self.interval = interval

    def next_step(self, step):
        """Return the next step after `step` at which it acts."""
        return (step // self.interval + 1) * self.interval

    def fire(self, trainer, step, means):
        """Act where it is meant to; args as `on_interval`."""
        if self.everywhere:
            self.on_interval(trainer, step, means)
        else:
            trainer.workers.from_chief(
                lambda: self.on_interval(trainer, step, means)
            )

    def on_begin(self, trainer):
        """Override: act before the first step of a run (not of a resumed one).

        Called in the chief alone.

        Args:
            trainer: the `SparseTrainer`.
        """

    def on_interval(self, trainer, step, means):
        """Override: act on what has happened since the last call.

        Args:
            trainer: the `SparseTrainer`.
            step: optimizer steps completed, int.
            means: mean loss and metrics of the steps since the last call.
        """

    def on_update(self, trainer, step):
        """Override: act on a mask update, made after `step` steps.

        `trainer.last_update_report` holds the number of grown connections and
        the norm of their dense gradient, one row per kernel.
        """

    def state(self):
        """Override: return arrays by name that a checkpoint must keep."""
        return {}

    def restore(self, state):
        """Override: take the arrays of `state` back."""


class LogMetrics(Callback):
    """Append one JSON object per interval to a file, and show progress.

    Every line tells where its time went: `seconds` of each activity since the
    line before, and `examples_per_second` over all of them.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two lines.
        steps: steps of the whole run.
        batch_size: examples in a global batch.
        statistics: function that returns more fields of a line.
        stream: where progress is shown: a bar on a terminal, else a line per
            tenth of the run.
    """

    def __init__(
        self, path, interval, steps, batch_size, statistics=dict, stream=None
    ):
        super().__init__(interval)
        self._batch_size = batch_size
        self._last = None
        self._statistics = statistics
        self._path = path
        self._steps = steps
        self._stream = stream or sys.stdout
        self._started = time.monotonic()
        self._tenths = 0
        self._bar = None
        if self._stream.isatty():
            # All values are means of an interval already.
            self._bar = keras.utils.Progbar(
                steps,
                unit_name="step",
                stateful_metrics=["loss", *metrics.BY_NAME],
            )

    def on_interval(self, trainer, step, means):
        """Write the line."""
        record = {"step": step, **means, **self._statistics()}
        record["wall_seconds"] = round(time.monotonic() - self._started, 3)
        record.update(self._speed(trainer, step))
        append_json_line(self._path, record)
        if self._bar is not None:
            self._bar.update(step, list(means.items()), step == self._steps)
        elif step * 10 // self._steps > self._tenths:
            self._tenths = step * 10 // self._steps
            values = ", ".join(f"{n} {v:.4f}" for n, v in means.items())
            print(
                f"step {step}/{self._steps}: {values}",
                file=self._stream,
                flush=True,
            )

    def _speed(self, trainer, step):
        """Return what has been done since the last line, and how fast."""
        now = (step, time.monotonic(), trainer.stopwatch.seconds.copy())
        last, self._last = self._last or (None, self._started, {}), now
        fields = {"seconds": trainer.stopwatch.since(last[2])}
        if last[0] is not None:
            n_examples = (step - last[0]) * self._batch_size
            rate = n_examples / max(now[1] - last[1], 1e-9)
            fields["examples_per_second"] = round(rate, 1)
        return fields


class Evaluate(Callback):
    """Evaluate every so many steps and append the result to a file.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two evaluations.
        dataset: finite `tf.data.Dataset`, or distributed one.
    """

    everywhere = True
    activity = "evaluate"

    def __init__(self, path, interval, dataset):
        super().__init__(interval)
        self._path = path
        self._dataset = dataset

    def on_interval(self, trainer, step, means):
        """Evaluate and write the line."""
        means = trainer.evaluate(self._dataset)
        record = {"step": step}
        record.update({f"test_{name}": v for name, v in means.items()})
        trainer.workers.from_chief(lambda: append_json_line(self._path, record))


class RecordMasks(Callback):
    """Save all masks every so many steps, as `<directory>/<step>.npz`.

    Args:
        directory: where the files go; created if need be.
        interval: steps between two records.
    """

    def __init__(self, directory, interval):
        super().__init__(interval)
        self._directory = directory

    def on_begin(self, trainer):
        """Save the first masks."""
        self.on_interval(trainer, 0, {})

    def on_interval(self, trainer, step, means):
        """Save the masks."""
        masks = {item.path: item.mask.numpy() for item in trainer.kernels}
        self._directory.mkdir(parents=True, exist_ok=True)
        storage.save(run_files.numbered(self._directory, step), masks)


class SaveCheckpoints(Callback):
    """Save a checkpoint every so many steps; comes last in the list.

    Args:
        checkpoints: `checkpoints.Checkpoints`.
        interval: steps between two.
        callbacks: all callbacks of the run, whose state is saved too.
    """

    activity = "checkpoint"

    def __init__(self, checkpoints, interval, callbacks):
        super().__init__(interval)
        self.checkpoints = checkpoints
        self._callbacks = callbacks

    def on_interval(self, trainer, step, means):
        """Save."""
        arrays = checkpoints.arrays_of(trainer, self._callbacks)
        self.checkpoints.save(step, arrays)


class TensorBoard(Callback):
    """Write losses, metrics and sparsities for TensorBoard (an extra).

    Args:
        directory: where the event file goes.
        interval: steps between two points.

    Raises:
        ImportError: tensorboard is not installed.
    """

    def __init__(self, directory, interval):
        super().__init__(interval)
        self.require_installed()
        self._directory = str(directory)

    @functools.cached_property
    def _writer(self):
        return tf.summary.create_file_writer(self._directory)

    @staticmethod
    def require_installed():
        """Raise ImportError, with the cure, if tensorboard is missing."""
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "TENSORBOARD=True needs tensorboard. Install it with: "
                "pip install rigl-tf[tensorboard]"
            ) from error

    def on_interval(self, trainer, step, means):
        """Write the points."""
        with self._writer.as_default(step=step):
            for name, value in means.items():
                tf.summary.scalar(name, value)
            for item in trainer.kernels:
                sparsity = 1 - item.mask.numpy().mean()
                tf.summary.scalar(f"sparsity/{item.path}", sparsity)
        self._writer.flush()


def append_json_line(path, record):
    """Append one JSON object to a file of them."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def forget_after(step, workdir):
    """Delete what an interrupted run wrote after its newest checkpoint.

    Of metrics.jsonl that is every line of a later step, and a last line that
    lacks its end; all others stay byte for byte. So do whole lines that are
    none of ours, of which a warning tells. Files are read before the first is
    changed.

    Args:
        step: step of the checkpoint; None for none.
        workdir: path of the work directory.

    Raises:
        files.DamagedFile: metrics.jsonl is no file.
    """
    last = -1 if step is None else step
    metrics_path = workdir / run_files.METRICS
    masks_directory = workdir / run_files.MASK_DIRECTORY
    if metrics_path.exists():
        _cut_lines(metrics_path, last)
    run_files.remove_incomplete(workdir)
    for recorded in run_files.steps(masks_directory):
        if recorded > last:
            run_files.numbered(masks_directory, recorded).unlink()


def _cut_lines(path, last):
    """Cut the lines of later steps, and half a line at the end."""
    lines = run_files.read_metrics(path)
    kept = [
        (line, record)
        for line, record in lines
        if (record["step"] <= last if record else line.endswith(b"\n"))
    ]
    text = b"".join(line for line, _ in kept)
    if text and not text.endswith(b"\n"):
        text += b"\n"
    if text != b"".join(line for line, _ in lines):
        files.write_bytes(path, text)
    n_foreign = sum(record is None for _, record in kept)
    if n_foreign:
        logging.warning(
            "%s: %d lines are no objects with a step; they stay as they are",
            path,
            n_foreign,
        )
