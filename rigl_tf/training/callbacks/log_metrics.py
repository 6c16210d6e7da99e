"""Write mean loss and metrics to a file of JSON lines."""

from collections.abc import Callable
import os
import sys
import time
import typing

import keras

from rigl_tf.training import metrics
from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class LogMetrics(base.Callback):
    """Append one JSON object per interval to a file, and show progress.

    Every line contains the `seconds` of each activity since the previous line,
    and `examples_per_second` over all of them.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two lines.
        steps: steps of the whole run.
        batch_size: examples in a global batch.
        statistics: function that returns more fields of a line.
        stream: where progress is shown: a bar on a terminal, otherwise one line
            per tenth of the run.
    """

    def __init__(
        self,
        path: os.PathLike,
        interval: int,
        steps: int,
        batch_size: int,
        statistics: Callable[[], dict[str, typing.Any]] = dict,
        stream: typing.TextIO | None = None,
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

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Write the line."""
        record = {"step": step, **means, **self._statistics()}
        record["wall_seconds"] = round(time.monotonic() - self._started, 3)
        record.update(self._speed(trainer, step))
        base.append_json_line(self._path, record)
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
        """Return the seconds per activity and the speed since the last line."""
        now = (step, time.monotonic(), trainer.stopwatch.seconds.copy())
        last, self._last = self._last or (None, self._started, {}), now
        fields = {"seconds": trainer.stopwatch.since(last[2])}
        if last[0] is not None:
            n_examples = (step - last[0]) * self._batch_size
            rate = n_examples / max(now[1] - last[1], 1e-9)
            fields["examples_per_second"] = round(rate, 1)
        return fields
