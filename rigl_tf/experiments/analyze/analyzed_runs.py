"""The runs that `rigl_tf analyze` names, with their examples."""

import collections
from collections.abc import Sequence
import pathlib
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from rigl_tf import checks
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import results
from rigl_tf.experiments import session

if TYPE_CHECKING:  # these import TensorFlow, which takes seconds
    from rigl_tf.analysis import weights
    from rigl_tf.experiments import runs

_BATCH = 1000


def find(name: str, below: str | None) -> pathlib.Path:
    """Return the work directory that a word names.

    Args:
        name: a directory, or "@label" of a line of a sweep.
        below: directory above the runs with labels, or None.

    Raises:
        ValueError: a label comes without a directory, or names several runs.
        FileNotFoundError: there is no such run.
    """
    if not name.startswith("@"):
        place = files.path(name)
        if not (place / run_files.CONFIG).exists():
            raise FileNotFoundError(
                "A run must be named by its work directory, or by @LABEL with "
                f"--in=DIR. Received: {name!r}, which has no "
                f"{run_files.CONFIG}"
            )
        return place
    if below is None:
        raise ValueError(
            "A label needs the directory above the runs, --in=DIR. Received: "
            f"{name!r} without --in"
        )
    labeled = results.labeled(below)
    found = labeled.get(name.removeprefix("@"), [])
    if not found:
        known = ", ".join(sorted(labeled)) or "none"
        raise FileNotFoundError(
            f"{name} must be the label of a finished run below {below!r}; the "
            f"labels are: {known}. Received: {name}"
        )
    if len(found) > 1:
        raise ValueError(
            f"{name} must name one run; give its directory instead. Received: "
            f"a label of {', '.join(map(str, found))}"
        )
    return found[0]


def find_all(name: str, below: str | None) -> list[pathlib.Path]:
    """Return the run that a word names, or all runs below a directory.

    See `find` for the arguments and errors.
    """
    place = files.path(name)
    if name.startswith("@") or (place / run_files.CONFIG).exists():
        return [find(name, below)]
    found = files.find(place, run_files.RESULT)
    return [file.parent for file in found] or [find(name, below)]


def titles_of(workdirs: Sequence[pathlib.Path]) -> list[str]:
    """Return a title for each run: its label, or its method and seed.

    Different runs with one title have the name of their directory in it too.

    Args:
        workdirs: work directories of finished runs.
    """
    own = [_title(workdir) for workdir in workdirs]
    places = collections.defaultdict(set)
    for title, workdir in zip(own, workdirs):
        places[title].add(workdir)
    return [
        title if len(places[title]) == 1 else f"{title} ({workdir.name})"
        for title, workdir in zip(own, workdirs)
    ]


def _title(workdir):
    result = run_files.read_result(workdir / run_files.RESULT, ["method"])
    own = f"{result['method']}, seed {result.get('seed', '?')}"
    return result.get("label") or own


class Analyzed:
    """A run that is analyzed: its networks, checkpoints and examples.

    Attributes:
        workdir: work directory of the run.

    Args:
        name: a directory, or "@label".
        below: directory above the runs with labels, or None.
        imports: modules to import.
    """

    def __init__(self, name: str, below: str | None, imports: Sequence[str]):
        self.workdir: pathlib.Path = find(name, below)
        self._experiment = session.experiment_of(
            str(self.workdir), ["STRATEGY=None"], imports
        )
        self._run: "runs.Run | None" = None

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to make the run again."""
        place = self.workdir / run_files.RESULT
        result = run_files.read_result(place) if place.exists() else {}
        names = ("task", "method", "settings", "seed", "steps", "accuracy")
        return {"run": self.workdir.name} | {n: result.get(n) for n in names}

    def steps(self) -> list[int]:
        """List the steps of the checkpoints that were kept, in rising order."""
        return run_files.steps(self.workdir / run_files.CHECKPOINT_DIRECTORY)

    @property
    def run(self) -> "runs.Run":
        """The run, built once; its trainer is set to a step by `network`."""
        if self._run is None:
            from rigl_tf.experiments import runs

            self._run = runs.Run(self._experiment)
        return self._run

    def network(self, step: int | None = None) -> "weights.Weights":
        """Return the network at the end of the run, or of a checkpoint.

        That of a checkpoint has the weights of training, not the averages that
        some optimizers keep beside them.

        Args:
            step: step of a checkpoint that was kept; None for the end.

        Raises:
            FileNotFoundError: the run is not finished, or has no such
                checkpoint.
        """
        from rigl_tf.analysis import weights

        if step is None:
            return weights.of_network(self.workdir)
        from rigl_tf.training import checkpoints

        store = checkpoints.Checkpoints(
            self.workdir / run_files.CHECKPOINT_DIRECTORY
        )
        checkpoints.resume(self.run.trainer, store, step=step)
        return weights.of_network(self.run.trainer.model)

    def update_steps(self) -> list[int]:
        """List the steps whose checkpoint is followed by a mask update.

        Methods that update on a batch, such as RigL, do so before a step; the
        updates of others come before the checkpoint of their step.
        """
        from rigl_tf.updaters import updates_of_run

        updater = self._experiment.mask_updater
        if updater is None or not updater.needs.batch:
            return []
        return list(updates_of_run.steps(updater, self._experiment.total_steps))

    def after_update(self) -> "weights.Weights":
        """Update the masks of the network that was loaded last; return it.

        The batch is the one that the run took.
        """
        from rigl_tf.analysis import weights

        trainer = self.run.trainer
        trainer.plan(self._experiment.total_steps)
        batches = self.run.dataset.train(
            self._experiment.batch_size,
            self._experiment.seed,
            trainer.n_batches,
        )
        trainer.update(iter(batches))
        return weights.of_network(trainer.model)

    def examples(
        self, split: str, count: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first examples of a split, without augmentation.

        Args:
            split: "train" or "test".
            count: number of examples; None for all.

        Raises:
            ValueError: the split has fewer, or the task has no labels.
        """
        from rigl_tf.experiments import networks

        checks.one_of("--split", split, ("train", "test"))
        if count is not None:
            checks.at_least("--examples", count, 1, integer=True)
        dataset = networks.create_dataset(self._experiment)
        if not hasattr(dataset, "in_order"):
            raise ValueError(
                "Analyses take tasks that classify separate examples. "
                f"Received: {self._experiment.task!r}"
            )
        parts, n_found = [], 0
        for inputs, labels in networks.examples(dataset, split, _BATCH):
            parts.append((inputs, labels))
            n_found += len(inputs)
            if count is not None and n_found >= count:
                break
        if count is not None and n_found < count:
            raise ValueError(
                f"`--examples` must be at most the {n_found:,} of the split. "
                f"Received: {count:,}"
            )
        inputs, labels = (np.concatenate(part) for part in zip(*parts))
        return inputs[:count], labels[:count]
