"""What happens every so many steps of `SparseTrainer.train`."""

import json
import os
import pathlib
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checkpoints
from rigl_tf import checks
from rigl_tf import mask_files


class Callback:
    """Base: acts every `interval` steps of `SparseTrainer.train`.

    Args:
        interval: steps between two calls of `on_interval`; the last step calls
            too.
    """

    def __init__(self, interval):
        checks.at_least("interval", interval, 1, integer=True)
        self.interval = interval

    def on_begin(self, trainer):
        """Override: act before the first step of a run (not of a resumed one).

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

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two lines.
        steps: steps of the whole run.
        statistics: function that returns more fields of a line.
        stream: where progress is shown: a bar on a terminal, else a line per
            tenth of the run.
    """

    def __init__(self, path, interval, steps, statistics=dict, stream=None):
        super().__init__(interval)
        self._statistics = statistics
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
        record = {"step": step, **means, **self._statistics()}
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

    def on_begin(self, trainer):
        """Save the first masks."""
        self.on_interval(trainer, 0, {})

    def on_interval(self, trainer, step, means):
        """Save the masks."""
        masks = {item.path: item.mask.numpy() for item in trainer.kernels}
        mask_files.save(self._directory / f"{step:08d}.npz", masks)


class MaskStatistics(Callback):
    """Follow how the masks move; read by `LogMetrics` and the result.

    Per kernel: connections that moved since the last line, the norm of the
    dense gradients of those that the last update since grew, dead rows and
    columns (inputs and outputs without any connection), overlap with the first
    mask, and the ITOP rate, the fraction of weights that were ever active (Liu
    et al. 2021).

    Args:
        kernels: list of `masking.MaskedKernel`, with their first masks.
    """

    def __init__(self, kernels):
        super().__init__(interval=2**31)  # asked by others, never fires
        self._kernels = kernels
        self._first = [_bits(kernel) for kernel in kernels]
        self._ever = [mask.copy() for mask in self._first]
        self._moved = np.zeros(len(kernels))
        self._norms = np.zeros(len(kernels))

    def on_update(self, trainer, step):
        """Count what has moved."""
        self._moved += trainer.last_update_report[:, 0]
        self._norms = trainer.last_update_report[:, 1].astype("float64")
        for ever, kernel in zip(self._ever, self._kernels):
            ever |= _bits(kernel)

    def line(self):
        """Return the fields of a line of metrics, and begin to count anew."""
        moved, self._moved = self._moved, np.zeros(len(self._kernels))
        norms, self._norms = self._norms, np.zeros(len(self._kernels))
        if not self._kernels:
            return {}
        layers = self.layers()
        for layer, n_moved, norm in zip(layers, moved, norms):
            layer["moved"] = int(n_moved)
            layer["grown_gradient_norm"] = float(norm)
        return {"itop_rate": self.itop_rate(), "layers": layers}

    def layers(self):
        """Describe the present mask of each kernel."""
        described = []
        for kernel, first in zip(self._kernels, self._first):
            mask = _bits(kernel)
            rows = mask.reshape(-1, mask.shape[-1])
            inputs = mask.any(axis=-1)
            n_active = int(mask.sum())
            described.append(
                {
                    "name": kernel.path,
                    "shape": list(mask.shape),
                    "target": kernel.sparsity,
                    "sparsity": 1 - n_active / mask.size,
                    "n_active": n_active,
                    "dead_rows": int(inputs.size - inputs.sum()),
                    "dead_columns": int((~rows.any(axis=0)).sum()),
                    "first_mask_overlap": float((mask & first).sum())
                    / max(n_active, 1),
                }
            )
        return described

    def itop_rate(self):
        """Return the fraction of all weights that were ever active."""
        sizes = sum(ever.size for ever in self._ever)
        return float(sum(ever.sum() for ever in self._ever) / max(sizes, 1))

    def state(self):
        """Return masks as bits, and the counts."""
        masks = zip(self._first, self._ever)
        state = {"moved": self._moved, "norms": self._norms}
        for index, (first, ever) in enumerate(masks):
            state[f"first/{index}"] = np.packbits(first)
            state[f"ever/{index}"] = np.packbits(ever)
        return state

    def restore(self, state):
        """Take masks and counts back."""
        self._moved, self._norms = state["moved"], state["norms"]
        for name, masks in (("first", self._first), ("ever", self._ever)):
            for index, mask in enumerate(masks):
                bits = np.unpackbits(state[f"{name}/{index}"], count=mask.size)
                masks[index] = bits.reshape(mask.shape).astype(bool)


class SaveCheckpoints(Callback):
    """Save a checkpoint every so many steps; comes last in the list.

    Args:
        checkpoints: `checkpoints.Checkpoints`.
        interval: steps between two.
        callbacks: all callbacks of the run, whose state is saved too.
    """

    def __init__(self, checkpoints, interval, callbacks):
        super().__init__(interval)
        self._checkpoints = checkpoints
        self._callbacks = callbacks

    def on_interval(self, trainer, step, means):
        """Save."""
        self.save(trainer)

    def save(self, trainer):
        """Save now."""
        arrays = checkpoints.arrays_of(trainer, self._callbacks)
        self._checkpoints.save(trainer.step, arrays)


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
        self._writer = tf.summary.create_file_writer(str(directory))

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
                sparsity = 1 - _bits(item).mean()
                tf.summary.scalar(f"sparsity/{item.path}", sparsity)
        self._writer.flush()


def _bits(kernel):
    return kernel.mask.numpy().astype(bool)


def append_json_line(path, record):
    """Append one JSON object to a file of them."""
    with open(path, "a") as stream:
        stream.write(json.dumps(record) + "\n")


def forget_after(step, metrics_path, masks_directory):
    """Delete what an interrupted run wrote after its newest checkpoint.

    Args:
        step: step of the checkpoint; None for none.
        metrics_path: file of JSON lines; a last, partial line goes too.
        masks_directory: directory of recorded masks.
    """
    last = -1 if step is None else step
    metrics_path = pathlib.Path(metrics_path)
    if metrics_path.exists():
        kept = [
            line
            for line in metrics_path.read_text().splitlines()
            if _step_of(line) <= last
        ]
        temporary = metrics_path.with_suffix(".tmp")
        temporary.write_text("".join(f"{line}\n" for line in kept))
        os.replace(temporary, metrics_path)
    for file in pathlib.Path(masks_directory).glob("*.npz"):
        if int(file.stem) > last:
            file.unlink()


def _step_of(line):
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")
