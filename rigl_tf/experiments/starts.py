"""Begin a run with the weights and masks of another run."""

from collections.abc import Callable
import dataclasses
import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import archives
from rigl_tf import checks
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf import updaters
from rigl_tf.experiments import run_settings
from rigl_tf.layers import initializers
from rigl_tf.layers import model_paths
from rigl_tf.masks import draws
from rigl_tf.masks import patterns
from rigl_tf.masks import storage
from rigl_tf.training import checkpoints


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """The weights and masks that a run begins with; new ones by default.

    With `run` only, training continues a finished run: its weights and masks,
    with new optimizer slots, from step 0. With `masks` only, given masks are
    trained from new weights (Scratch). With `masks`, `run` and `step`, the
    masks of one run are trained from the first (step 0) or early weights of the
    same or another run (lottery ticket).

    Attributes:
        run: work directory of the run that gives the weights, or None for new
            weights.
        step: step of the checkpoint with the weights; None for the last one.
            Step 0 needs no checkpoint: the first weights are drawn again from
            the seed of the run.
        masks: mask file, or work directory of a finished run. None takes the
            masks of `run` if it is sparse and `step` is None; otherwise new
            masks are drawn.
        shuffle_masks: whether to permute the weights of each mask.
        sparse_init: how to draw the first weights to suit the masks:
            "unit_scaled", "layer_scaled" or a function, see
            `rigl_tf.layers.initializers`; None for those of the model.
    """

    run: str | None = None
    step: int | None = None
    masks: str | None = None
    shuffle_masks: bool = False
    sparse_init: str | Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        checks.one_of("shuffle_masks", self.shuffle_masks, (True, False))
        if self.step is not None:
            checks.at_least("step", self.step, 0, integer=True)
        if self.step is not None and self.run is None:
            raise ValueError(
                "`step` needs the run that gives the weights (INITIAL_RUN). "
                f"Received: step={self.step}, run=None"
            )
        if self.sparse_init is not None:
            initializers.get(self.sparse_init)
            if self.run is not None:
                raise ValueError(
                    "`sparse_init` draws new weights, and `run` gives weights: "
                    "set only one (SPARSE_INIT, INITIAL_RUN). Received: "
                    f"sparse_init={self.sparse_init!r}, run={self.run!r}"
                )
        if self.run is not None and not _is_run(self.run):
            raise FileNotFoundError(
                "`run` must be the work directory of a run (INITIAL_RUN). "
                f"Received: {str(self.run)!r}, which has no {run_files.CONFIG}"
            )

    def check(
        self, updater: updaters.MaskUpdater | None, sparsity: float | None
    ) -> None:
        """Raise ValueError if a method cannot begin in this way.

        Args:
            updater: mask updater, or None for dense training.
            sparsity: overall sparsity, or None for that of the given masks.
        """
        if updater is None:
            if self.masks is not None or self.sparse_init is not None:
                raise ValueError(
                    "Dense training has no masks: it can begin only with the "
                    "weights of a run (INITIAL_RUN). Received: "
                    f"masks={self.masks!r}, sparse_init={self.sparse_init!r}"
                )
            return
        if self.shuffle_masks and not self.gives_masks(updater):
            raise ValueError(
                "`shuffle_masks` needs masks of another run to begin with "
                "(INITIAL_MASKS, or a sparse INITIAL_RUN without "
                f"INITIAL_STEP). Received: none for {type(updater).__name__}"
            )
        if updater.needs.dense_start and self.masks is not None:
            raise ValueError(
                f"{type(updater).__name__} chooses its masks from dense "
                "weights: it cannot begin with others (INITIAL_MASKS). "
                f"Received: masks={self.masks!r}"
            )
        if sparsity is None and not self.gives_masks(updater):
            raise ValueError(
                "`sparsity` must be a number unless masks are given to begin "
                "with: set SPARSITY, or INITIAL_MASKS to a run or mask file "
                "(or INITIAL_RUN to a sparse run). Received: sparsity=None"
            )

    def gives_masks(self, updater: updaters.MaskUpdater | None) -> bool:
        """Return whether training begins with the masks of another run.

        Args:
            updater: mask updater, or None for dense training.
        """
        if updater is None or updater.needs.dense_start:
            return False
        return self.mask_file() is not None

    def mask_file(self) -> pathlib.Path | None:
        """Return the path of the mask file, or None if masks are drawn.

        Raises:
            FileNotFoundError: if the file does not exist, or the run that
                should write it is not finished.
        """
        if self.masks is None:
            if self.run is None or self.step is not None:
                return None
            _require_finished(self.run)
            file = files.path(self.run) / run_files.MASKS
            return file if file.exists() else None  # the run was dense
        file = files.path(self.masks)
        if file.is_dir():
            _require_finished(file)
            file = file / run_files.MASKS
        if not file.exists():
            raise FileNotFoundError(
                "`masks` must be a mask file, or the work directory of a "
                "finished sparse run (INITIAL_MASKS). Received: "
                f"{str(self.masks)!r}"
            )
        return file

    def read_masks(
        self, pattern: patterns.Pattern, seed: int
    ) -> dict[str, np.ndarray] | None:
        """Read the masks, and shuffle them with `shuffle_masks`.

        Args:
            pattern: pattern of the masks, which shuffling keeps.
            seed: seed of the permutations.

        Returns:
            A dictionary from kernel path to boolean array, or None if masks are
            drawn.

        Raises:
            files.DamagedFile: if the file contains no masks, or is damaged.
        """
        file = self.mask_file()
        if file is None:
            return None
        masks = storage.load(file)
        if self.shuffle_masks:
            for path, mask in masks.items():
                draw = draws.stateless_seed(seed, path, "shuffle")
                scores = draws.uniform_scores(mask.shape, draw)
                counts = pattern.counts(tf.constant(mask))
                masks[path] = pattern.top(scores, counts).numpy() > 0
        return masks

    def weights_seed(self, seed: int) -> int:
        """Return the seed of the first weights: that of `run` for step 0.

        Args:
            seed: seed of the run that begins.

        Raises:
            FileNotFoundError: if `run` is not finished.
            ValueError: if `run` did not draw its first weights itself.
        """
        if self.run is None or self.step != 0:
            return seed
        _require_finished(self.run)
        path = files.path(self.run) / run_files.RESULT
        result = run_files.read_result(path, required=["seed"])
        start = result.get("start") or {}
        if start.get("run") or start.get("sparse_init"):
            raise ValueError(
                "First weights can be drawn again only where a run drew them "
                "itself (INITIAL_STEP=0). Received: "
                f"{str(self.run)!r}, which began with {start}; set the step of "
                "a checkpoint that it kept"
            )
        return result["seed"]

    def named(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Replace the paths of other runs in settings by names of experiments.

        With that, runs that begin with different seeds of one experiment have
        equal settings.

        Args:
            settings: settings of the run, see `run_settings.collect`.

        Returns:
            A dictionary in which `run_settings.experiment_name` replaces the
            paths of finished runs.
        """
        names = {}
        for place in (self.run, self.masks):
            if place is None:
                continue
            folder = files.path(place)
            folder = folder if folder.is_dir() else folder.parent
            result = _read_result(folder)
            if isinstance(result.get("settings"), dict):
                names[str(place)] = run_settings.experiment_name(result)
        return {
            name: names.get(value, value) if isinstance(value, str) else value
            for name, value in settings.items()
        }

    def describe(self) -> dict[str, str]:
        """Return the attributes that are set, as text for the result."""
        return {
            field.name: str(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) not in (None, False)
        }

    def restore_weights(self, model: keras.Model) -> None:
        """Assign the weights of `run` to a model, unless they are drawn.

        Args:
            model: Keras model without masks.

        Raises:
            FileNotFoundError: if the run has no checkpoint of the step.
            files.DamagedFile: if the checkpoint is damaged, or belongs to
                another network.
        """
        if self.run is None or self.step == 0:
            return
        if self.step is None:
            _require_finished(self.run)
        seeds = model_paths.seed_states(model)
        variables = {
            f"model/{path}": variable
            for path, variable in model_paths.variables_by_path(model).items()
            if path not in seeds
        }
        store = checkpoints.Checkpoints(
            files.path(self.run) / run_files.CHECKPOINT_DIRECTORY
        )
        arrays = store.load(
            self.step, archives.kinds(checkpoints.as_arrays(variables))
        )
        for name, variable in variables.items():
            checkpoints.assign(variable, arrays[name])


def _is_run(directory: str | os.PathLike) -> bool:
    return (files.path(directory) / run_files.CONFIG).exists()


def _read_result(directory: pathlib.Path) -> dict[str, Any]:
    """Return the result of a run; an empty dictionary if it is not finished."""
    path = directory / run_files.RESULT
    return run_files.read_result(path) if path.exists() else {}


def _require_finished(directory: str | os.PathLike) -> None:
    if not (files.path(directory) / run_files.RESULT).exists():
        raise FileNotFoundError(
            "A run must be finished for another to begin with it. Received: "
            f"{str(directory)!r}, which has no {run_files.RESULT}; finish it, "
            "or name a step of it (INITIAL_STEP)"
        )
