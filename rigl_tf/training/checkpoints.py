"""Checkpoints: one file per step, atomic, checked, exact.

A checkpoint is an `.npz` archive with one entry per variable, by structural
path: weights, masks, seed states, optimizer, updater, counters, and the
state of the callbacks. (`tf.train.Checkpoint` silently skips variables in lists
and seed generators.) The archive carries a CRC-32 of every entry; a
file is complete or absent, because it is renamed into place after it has
reached the disk.
"""

import os
import typing

from absl import logging
import keras
import numpy as np
import tensorflow as tf

from rigl_tf import archives
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.layers import model_paths

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class CheckpointError(ValueError):
    """There are checkpoints, but the run cannot resume from any of them."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: where the files are; created at the first save.
        keep_last: how many of the newest to keep, at least 1.
        keep_every: also keep checkpoints at multiples of this step, or None.
    """

    def __init__(
        self,
        directory: os.PathLike,
        keep_last: int = 2,
        keep_every: int | None = None,
    ):
        self._directory = files.path(directory)
        self._keep_last = keep_last
        self._keep_every = keep_every

    def steps(self) -> list[int]:
        """List the steps that have a file, oldest first."""
        return run_files.steps(self._directory)

    def save(self, step: int | None, arrays: dict[str, np.ndarray]) -> None:
        """Write a checkpoint, then delete those that need not be kept.

        Args:
            step: optimizer steps completed.
            arrays: dictionary from name to array.

        Raises:
            OSError: the disk is full or the directory cannot be written; older
                checkpoints are left as they are.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        named = {f":{name}": array for name, array in arrays.items()}
        archives.write(self._path(step), named)
        self._delete_old(step)

    def load_newest(
        self, expected: typing.Any, others: typing.Any = False
    ) -> typing.Any:
        """Read the newest intact checkpoint; warn of every newer bad one.

        No file is changed.

        Args:
            expected: dictionary from name to the `(shape, dtype)` that is
                required, as `archives.kinds` returns it.
            others: whether other entries are allowed, as for a reader that is
                not the owner of the run; they are not read.

        Returns:
            `(step, arrays)`, or None if there is no checkpoint at all.

        Raises:
            CheckpointError: there are checkpoints, and all are bad.
        """
        steps = self.steps()
        problem = ""
        for step in reversed(steps):
            try:
                return step, self._read(step, expected, others)
            except (files.DamagedFile, OSError) as error:
                problem = str(error)
                logging.warning("Passing over a checkpoint: %s", problem)
        if steps:
            raise CheckpointError(
                f"None of {len(steps)} checkpoints can be used: {problem}. "
                "Delete the directory to start anew"
            )
        return None

    def load(
        self, step: int | None, expected: typing.Any
    ) -> dict[str, np.ndarray]:
        """Read the checkpoint of a step, or the newest; others are allowed.

        Args:
            step: its step; None for the newest.
            expected: as in `load_newest`.

        Returns:
            dictionary of arrays.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            files.DamagedFile: it cannot be used.
        """
        steps = self.steps()
        if not steps or (step is not None and step not in steps):
            raise FileNotFoundError(
                f"{str(self._directory)!r} has checkpoints of the steps "
                f"{', '.join(map(str, steps)) or '(none)'} "
                "(KEEP_CHECKPOINT_EVERY keeps more of them). "
                f"Received: step={step}"
            )
        step = steps[-1] if step is None else step
        return self._read(step, expected, others=True)

    def _read(self, step, expected, others):
        """Read and check one file."""
        path = self._path(step)
        with archives.reading(path) as archive:
            held = {name.removeprefix(":") for name in archive.names}
            missing, foreign = expected.keys() - held, held - expected.keys()
            if missing:
                raise files.DamagedFile(
                    path, f"belongs to another run (lacks {min(missing)})"
                )
            if foreign and not others:
                raise files.DamagedFile(
                    path, f"belongs to another run (has {min(foreign)})"
                )
            arrays = {
                name: archive.read(f":{name}", shape, dtype)
                for name, (shape, dtype) in expected.items()
            }
        _require_counters(path, step, arrays)
        return arrays

    def _path(self, step):
        return run_files.numbered(self._directory, step)

    def _delete_old(self, newest):
        for step in self.steps():
            if step > newest:  # bad: passed over when the run was resumed
                self._path(step).unlink()
        for step in self.steps()[: -self._keep_last]:
            if not self._keep_every or step % self._keep_every:
                self._path(step).unlink()


def variables_of(
    trainer: "sparse_trainer.SparseTrainer",
) -> dict[str, keras.Variable]:
    """Map names to all variables of a run.

    Args:
        trainer: `SparseTrainer`.

    Returns:
        dictionary from name to `keras.Variable`.
    """
    named = {
        f"model/{path}": variable
        for path, variable in model_paths.variables_by_path(
            trainer.model
        ).items()
    }
    # Keras names optimizer variables after automatic names: count them.
    for index, variable in enumerate(trainer.optimizer.variables):
        named[f"optimizer/{index}"] = variable
    for name, variable in trainer.state().items():
        named[f"trainer/{name}"] = variable
    return named


def arrays_of(
    trainer: "sparse_trainer.SparseTrainer", callbacks: typing.Any
) -> dict[str, np.ndarray]:
    """Collect the arrays that an exact resume needs.

    Args:
        trainer: `SparseTrainer`.
        callbacks: its callbacks, in their order.

    Returns:
        dictionary from name to array.
    """
    arrays = as_arrays(variables_of(trainer))
    arrays["loop/totals"] = trainer.totals
    arrays["loop/n_batches"] = np.asarray(trainer.n_batches)
    for index, callback in enumerate(callbacks):
        for name, array in callback.state().items():
            arrays[f"callback/{index}/{name}"] = np.asarray(array)
    return arrays


def as_arrays(variables: dict[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Return the arrays that a checkpoint holds of variables, by name."""
    return {n: _bits_if_foreign(v.numpy()) for n, v in variables.items()}


def resume(
    trainer: "sparse_trainer.SparseTrainer",
    checkpoints: Checkpoints,
    callbacks: typing.Any = None,
    step: int | None = None,
) -> int | None:
    """Restore the newest intact checkpoint, if there is one.

    Args:
        trainer: `SparseTrainer`, as it was built.
        checkpoints: `Checkpoints`.
        callbacks: the callbacks of the run, to continue training; None restores
            only the variables.
        step: which one instead of the newest, or None.

    Returns:
        its step, or None.

    Raises:
        CheckpointError: there are checkpoints, and all are bad.
        FileNotFoundError: there is none of that step.
    """
    expected: dict[str, typing.Any] = {
        name: kind
        for name, kind in archives.kinds(
            arrays_of(trainer, callbacks or [])
        ).items()
        if callbacks is not None or not name.startswith("loop/")
    }
    for index, callback in enumerate(callbacks or []):
        for name in callback.growing_state():
            name = f"callback/{index}/{name}"
            expected[name] = ((None,), expected[name][1])

    def read():
        if step is not None:
            return step, checkpoints.load(step, expected)
        return checkpoints.load_newest(expected, others=callbacks is None)

    found = trainer.workers.from_chief(read)
    if found is None:
        return None
    step, arrays = found
    for name, variable in variables_of(trainer).items():
        assign(variable, arrays[name])
    if callbacks is not None:
        trainer.totals = arrays["loop/totals"]
        trainer.n_batches = int(arrays["loop/n_batches"])
    for index, callback in enumerate(callbacks or []):
        callback.restore(_below(f"callback/{index}/", arrays))
    return step


def assign(variable: keras.Variable, array: np.ndarray) -> None:
    """Assign an array of a checkpoint to a variable."""
    kind = tf.as_dtype(variable.dtype).as_numpy_dtype
    variable.assign(array.view(kind))


def _below(prefix, arrays):
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _bits_if_foreign(array):
    """Return bfloat16 values as integers: numpy files do not know them."""
    return array.view(np.uint16) if array.dtype.kind == "V" else array


def _require_counters(path, step, arrays):
    """Require counters that are possible after this number of steps."""
    # A step takes a batch, and an update before or after it another.
    at_most = 2 * step + 1
    for name, low, high in (
        ("trainer/step", step, step),
        ("trainer/last_update_step", -1, step),
        ("trainer/last_done_step", -1, step),
        ("trainer/skipped_updates", 0, at_most),
        ("loop/n_batches", 0, at_most),
    ):
        if name in arrays and not low <= int(arrays[name]) <= high:
            raise files.DamagedFile(
                path, f"has {name}={int(arrays[name])} after {step} steps"
            )
