"""Compare the speed of dense and sparse exported files of a model."""

from collections.abc import Sequence
import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from rigl_tf import checks
from rigl_tf import files
from rigl_tf import text_tables
from rigl_tf.analysis import plots
from rigl_tf.experiments import exporting
from rigl_tf.experiments import result_fields
from rigl_tf.export import formats
from rigl_tf.export import latency
from rigl_tf.export import model_cards
from rigl_tf.export import saving
from rigl_tf.export import signatures

TABLE, ROWS, PICTURE = "README.md", "latency.json", "latency.png"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Latencies of the files of a model.

    Attributes:
        rows: one for each format, batch size and kind of weights.
        accuracies: accuracy of the sparse file of each format, or None.
        machine: the processor.
        rounds: calls of each file.
        threads: threads of each runtime.
    """

    rows: list[latency.Latency]
    accuracies: dict[str, model_cards.Accuracy | None]
    machine: str
    rounds: int
    threads: int


def run(
    source: exporting.Source,
    names: Sequence[str],
    batches: Sequence[int],
    rounds: int,
    threads: int,
) -> Benchmark:
    """Export a model and its dense twin in several formats, and time them.

    Args:
        source: the model, and examples.
        names: formats that can be run.
        batches: numbers of examples in a call.
        rounds: timed calls of each file.
        threads: threads of each runtime.

    Raises:
        ValueError: a format does not take the model, or cannot be run.
        ImportError: a package of a format is missing.
    """
    runnable = [name for name, f in formats.FORMATS.items() if f.run]
    for name in names:
        checks.one_of("--formats", name, runnable)
    twin = latency.dense_twin(source.model)
    rows: list[latency.Latency] = []
    accuracies: dict[str, model_cards.Accuracy | None] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            # Without a fixed batch, one pair of files serves all.
            fixed = formats.FORMATS[name].fixed_batch
            pairs: dict[int, _Pair] = {}
            for batch in batches:
                key = batch if fixed else 1
                if key not in pairs:
                    place = pathlib.Path(directory) / f"{name}-{key}"
                    pairs[key] = _export(source, twin, name, key, place)
                pair = pairs[key]
                accuracies[name] = pair.accuracy
                arrays = _inputs(source, twin, batch)
                inputs = dict(zip(pair.inputs, arrays, strict=True))
                rows += latency.measure(
                    name, pair.places, inputs, rounds, threads
                )
    machine = latency.processor()
    return Benchmark(rows, accuracies, machine, rounds, threads)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """The sparse file of a model, and the dense one of its twin."""

    places: dict[str, pathlib.Path]
    inputs: tuple[str, ...]
    accuracy: model_cards.Accuracy | None


def _export(
    source: exporting.Source,
    twin: keras.Model,
    name: str,
    batch: int,
    place: pathlib.Path,
) -> _Pair:
    """Export a model and its dense twin."""
    report, accuracy = exporting.export(
        source, place / "sparse", name, batch=batch
    )
    dense = place / f"dense{formats.FORMATS[name].suffix}"
    saving.save(twin, dense, name, batch=batch)
    places = {"dense": dense, "sparse": pathlib.Path(report.path)}
    return _Pair(places, report.inputs, accuracy)


def _inputs(
    source: exporting.Source, model: keras.Model, batch: int
) -> list[np.ndarray]:
    """Return inputs of one call, from real examples if there are any."""
    if source.compared is None:
        return signatures.of(model, batch).random_inputs(batch)
    return [
        np.resize(array, (batch, *array.shape[1:])) for array in source.compared
    ]


def markdown(found: Benchmark) -> str:
    """Return the latencies as a table in Markdown, with remarks."""
    header = (
        "format",
        "weights",
        "batch",
        "median ms",
        "p95 ms",
        "examples / s",
        "times as fast as dense",
        "memory MB",
        "file MB",
        "accuracy",
    )
    cells = []
    for row in found.rows:
        accuracy = found.accuracies[row.format]
        is_judged = row.weights == "sparse" and accuracy is not None
        cells.append(
            (
                row.format,
                row.weights,
                str(row.batch),
                f"{row.median_ms:.3f}",
                f"{row.p95_ms:.3f}",
                f"{row.per_second:,.0f}",
                f"{row.speedup:.2f}",
                f"{row.memory_mb:.1f}",
                f"{row.file_mb:.3f}",
                f"{accuracy.value:.4f}" if accuracy and is_judged else "–",
            )
        )
    lines = [
        text_tables.markdown(header, cells),
        "",
        f"{found.machine}; {found.threads} threads, {found.rounds} calls each, "
        "dense and sparse in turns. Dense files have random weights in place "
        "of the zeros.",
    ]
    lines += [f"- {remark}" for remark in latency.remarks(found.rows)]
    return "\n".join(lines)


def write(directory: pathlib.Path, found: Benchmark) -> None:
    """Write the table, its rows as JSON, and a picture.

    Args:
        directory: where to write; made if it does not exist.
        found: the latencies.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files.write_text(directory / TABLE, markdown(found) + "\n")
    content: dict[str, Any] = {
        "rows": [dataclasses.asdict(row) for row in found.rows],
        "machine": found.machine,
        "rounds": found.rounds,
        "threads": found.threads,
        "versions": result_fields.versions(),
    }
    result_fields.write_json(directory / ROWS, content)
    figure = plots.latencies([dataclasses.asdict(row) for row in found.rows])
    with files.replacing(directory / PICTURE) as temporary:
        figure.savefig(temporary, dpi=150)


def read_rows(directory: pathlib.Path) -> list[dict[str, Any]]:
    """Read the rows that `write` wrote; none if it did not.

    Raises:
        files.DamagedFile: if the file holds no rows.
    """
    place = directory / ROWS
    if not place.exists():
        return []
    try:
        return list(json.loads(files.read_text(place))["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise files.DamagedFile(place, f"has no rows ({error})") from None
