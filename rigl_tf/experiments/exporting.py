"""Export the model of a finished run, and judge it on the task's examples."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import pathlib
from typing import Any
from typing import TypeAlias

import keras
import numpy as np

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import networks
from rigl_tf.experiments.experiment import Experiment
from rigl_tf.export import formats
from rigl_tf.export import keras_file
from rigl_tf.export import model_cards
from rigl_tf.export import runners
from rigl_tf.export import saving
from rigl_tf.export.litert import conversion

EXPORT_JSON, CARD = "export.json", "README.md"
_MODEL_NAME = "model"
_TEST_BATCH = 256
_N_COMPARED = 8
_N_CALIBRATED = 200
# A file that answers fewer examples rightly is not a copy of the model.
_LARGEST_LOSS = 0.01

Batches: TypeAlias = Iterator[tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Source:
    """What is exported, and examples to judge it on.

    Attributes:
        model: the trained model, without masks.
        result: the content of result.json; empty without a run.
        compared: real inputs to compare outputs on, or None.
        calibration: function that returns inputs of training, or None.
        tests: function that yields inputs and labels of the test split, batch
            by batch, or None if accuracy is not defined.
    """

    model: keras.Model
    result: dict[str, Any]
    compared: list[np.ndarray] | None = None
    calibration: Callable[[], list[np.ndarray]] | None = None
    tests: Callable[[], Batches] | None = None


def of_run(workdir: pathlib.Path, experiment: Experiment) -> Source:
    """Return the model of a finished run, with examples of its task.

    Args:
        workdir: work directory of the run.
        experiment: its settings.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    place = workdir / run_files.MODEL
    if not (workdir / run_files.RESULT).exists() or not place.exists():
        raise FileNotFoundError(
            "`--workdir` must be the directory of a finished run. Received: "
            f"{str(workdir)!r}, which has no {run_files.RESULT}"
        )
    model = keras_file.load(place)
    result = run_files.read_result(workdir / run_files.RESULT)
    dataset = networks.create_dataset(experiment)
    if len(model.inputs) != 1:  # a language model, which carries states
        texts, *_ = next(iter(dataset.test(_N_COMPARED)))
        states = [
            np.zeros((_N_COMPARED, *state.shape[1:]), np.float32)
            for state in model.inputs[1:]
        ]
        return Source(model, result, [texts.numpy(), *states])

    def calibration() -> list[np.ndarray]:
        n_examples = min(_N_CALIBRATED, dataset.n_train)
        inputs, *_ = next(iter(dataset.train(n_examples, 0)))
        return [inputs.numpy()]

    def tests() -> Batches:
        return networks.examples(dataset, "test", _TEST_BATCH)

    compared = next(tests())[0][:_N_COMPARED]
    return Source(model, result, [compared], calibration, tests)


def of_file(place: pathlib.Path) -> Source:
    """Return the model of a .keras file."""
    return Source(keras_file.load(place), {})


def require_own(directory: pathlib.Path, marker: str) -> None:
    """Require a directory in which nothing of others is overwritten.

    Args:
        directory: where a README.md is written.
        marker: name of a file that was written beside it before.

    Raises:
        ValueError: it has other files.
    """
    if not directory.exists() or (directory / marker).exists():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise ValueError(
            "`--output` must be a directory that is new, empty, or of an "
            f"earlier run of this command. Received: {str(directory)!r}"
        )


def export(
    source: Source,
    directory: pathlib.Path,
    format: str,
    precision: conversion.Precision = "f32",
    batch: int = 1,
    ready_for: str = "any",
    latencies: Sequence[Mapping[str, Any]] = (),
) -> tuple[saving.ExportReport, model_cards.Accuracy | None]:
    """Export a model with its card to a directory.

    Args:
        source: the model, and examples.
        directory: where model.*, export.json and README.md are written.
        format: see `saving.save`, like all that follow.
        precision: see there.
        batch: see there.
        ready_for: see there.
        latencies: rows of an earlier benchmark, for the card.

    Returns:
        The report, and the accuracy of the file where it is defined.
    """
    require_own(directory, EXPORT_JSON)
    accuracies: list[model_cards.Accuracy] = []
    calibration = None
    if precision == "int8" and source.calibration is not None:
        calibration = source.calibration()
    suffix = formats.FORMATS[format].suffix if format in formats.FORMATS else ""

    def judge(run: runners.Runner) -> None:
        if source.tests is not None:
            accuracies.append(_judge(run, source.model, source.tests()))

    report = saving.save(
        source.model,
        directory / f"{_MODEL_NAME}{suffix}",
        format,
        precision=precision,
        batch=batch,
        examples=source.compared,
        calibration=calibration,
        ready_for=ready_for,  # type: ignore[arg-type] # checked there
        check=judge,
    )
    accuracy = accuracies[0] if accuracies else None
    written = report.to_json()
    if accuracy is not None:
        written["accuracy"] = accuracy.value
        written["n_test"] = accuracy.n_examples
    text = json.dumps(written, indent=1) + "\n"
    files.write_text(directory / EXPORT_JSON, text)
    own = [row for row in latencies if row["format"] == format]
    card = model_cards.markdown(report, source.result, accuracy, own)
    files.write_text(directory / CARD, card)
    return report, accuracy


def _judge(
    run: runners.Runner, model: keras.Model, tests: Batches
) -> model_cards.Accuracy:
    """Return the accuracy of a file.

    Raises:
        ValueError: it is lower than that of the model.
    """
    of_model = runners.of_keras(model)
    n_right = n_wanted = n_examples = 0
    for inputs, labels in tests:
        n_right += _count_right(run, inputs, labels)
        n_wanted += _count_right(of_model, inputs, labels)
        n_examples += len(labels)
    found = model_cards.Accuracy(n_right, n_examples)
    wanted = model_cards.Accuracy(n_wanted, n_examples)
    if found.value < wanted.value - _LARGEST_LOSS:
        raise ValueError(
            "The written file must answer as well as the model. Received: an "
            f"accuracy of {found.value:.4f} instead of {wanted.value:.4f}; it "
            "was deleted"
        )
    return found


def _count_right(
    run: runners.Runner, inputs: np.ndarray, labels: np.ndarray
) -> int:
    return int(np.sum(np.argmax(run([inputs])[0], axis=-1) == labels))
