"""Print results and costs as tables for the terminal."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
from typing import Any

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf import text_tables

# Fields that the closing table of a run shows.
_CLOSING = (
    "task",
    "method",
    "layers",
    "accuracy",
    "sparsity_achieved",
    "itop_rate",
    "steps",
    "wall_seconds",
)
_TOTALS = (
    "parameters",
    "active_parameters",
    "inference_flops",
    "inference_flops_ratio",
    "train_flops",
    "train_flops_ratio_run",
    "train_flops_ratio_published",
    "model_bytes",
    "model_bytes_csr",
    "dense_bytes",
)


def print_costs(costs: Iterable[Mapping[str, Any]]) -> None:
    """Print the costs of each layer on one line.

    Args:
        costs: the field "costs" of `counting.count`.
    """
    _print_table(
        [
            ("layer", "path", "{}"),
            ("type", "type", "{}"),
            ("shape", "shape", "{}"),
            ("parameters", "parameters", "{:,}"),
            ("active", "active", "{:,.0f}"),
            ("multiplications", "multiplications", "{:,.0f}"),
            ("additions", "additions", "{:,.0f}"),
            ("bytes", "bytes", "{:,.0f}"),
        ],
        costs,
    )


def print_classes(classes: Iterable[Mapping[str, Any]]) -> None:
    """Print precision and recall of each class on one line.

    Args:
        classes: the rows of `metrics.per_class`.
    """
    shown = [
        {n: "–" if value is None else value for n, value in row.items()}
        for row in classes
    ]
    for row in shown:
        for name in ("precision", "recall"):
            if row[name] != "–":
                row[name] = f"{row[name]:.4f}"
    _print_table([(n, n, "{}") for n in shown[0]], shown)


def print_totals(totals: Mapping[str, Any]) -> None:
    """Print the costs of a model, and those of its training if known.

    Args:
        totals: fields of `result_fields.model_fields`, and optionally of
            `result_fields.training_fields`.
    """
    print(
        f"\nparameters {totals['parameters']:,}, "
        f"active {totals['active_parameters']:,.0f}\n"
        f"inference {totals['inference_flops']:,.0f} FLOPs, "
        f"{totals['inference_flops_ratio']:.4f} of dense"
    )
    if "train_flops" in totals:
        print(
            f"training {totals['train_flops_ratio_run']:.4f} of dense in this "
            f"run, {totals['train_flops_ratio_published']:.4f} by the paper's "
            "formula"
        )
    print(
        f"bytes {totals['model_bytes']:,} with bit masks, "
        f"{totals['model_bytes_csr']:,} as CSR, {totals['dense_bytes']:,} dense"
        + (f", file {totals['file_bytes']:,}" if "file_bytes" in totals else "")
    )


def print_layers(layers: Sequence[Mapping[str, Any]]) -> None:
    """Print sparsity and mask statistics of each masked kernel on one line.

    Args:
        layers: the field "layers" of a result or of `counting.count`.
    """
    columns = [
        ("layer", "name", "{}"),
        ("shape", "shape", "{}"),
        ("target", "target", "{:.4f}"),
        ("sparsity", "sparsity", "{:.4f}"),
        ("active", "n_active", "{:,}"),
        ("dead rows", "dead_rows", "{:,}"),
        ("dead columns", "dead_columns", "{:,}"),
        ("overlap with first", "first_mask_overlap", "{:.3f}"),
    ]
    if not layers:
        return
    columns = [column for column in columns if column[1] in layers[0]]
    shapes = ({"shape": "x".join(map(str, la["shape"]))} for la in layers)
    _print_table(columns, [{**la, **s} for la, s in zip(layers, shapes)])


def _print_table(
    columns: Sequence[tuple[str, str, str]],
    items: Iterable[Mapping[str, Any]],
) -> None:
    """Print dictionaries as rows; columns are `(title, key, format)`."""
    rows = [
        [form.format(item[name]) for _, name, form in columns] for item in items
    ]
    print(text_tables.aligned([title for title, _, _ in columns], rows))


def print_closing_table(
    result: Mapping[str, Any], workdir: pathlib.Path
) -> None:
    """Print the result of a run.

    Args:
        result: dictionary of its result.json.
        workdir: path of its work directory.
    """
    print()
    print_layers(result["layers"])
    line = f"\n{result['method']} on {result['task']}: "
    if "bits_per_character" in result:
        line += f"{result['bits_per_character']:.4f} bits per character, "
    line += (
        f"test accuracy {100 * result['accuracy']:.2f} %, "
        f"sparsity {result['sparsity_achieved']:.4f}, "
    )
    if result["itop_rate"] is not None:
        line += f"ITOP rate {result['itop_rate']:.4f}, "
    print(f"{line}{result['steps']} steps in {result['wall_seconds']:.1f} s")
    if "not_counted" in result:
        print(f"not counted: {result['not_counted']}")
    else:
        print_totals(result)
    if "without_dead_units" in result:
        small = result["without_dead_units"]
        print(
            f"without dead units {'-'.join(map(str, small['units']))}, "
            f"{small['bytes']:,} bytes"
        )
    if "one_dnn" in result:
        version = result["versions"]["tensorflow"]
        print(f"TensorFlow {version}, oneDNN {result['one_dnn']}")
    print(f"results in {workdir}")


def print_summary(workdir: str | os.PathLike) -> None:
    """Print the result of a finished run, or the progress of another run.

    Args:
        workdir: work directory of the run.

    Raises:
        FileNotFoundError: if the directory is not that of a run.
        files.DamagedFile: if a file of the run is damaged.
    """
    directory = files.path(workdir)
    path = directory / run_files.RESULT
    if path.exists():
        result = run_files.read_result(path, _CLOSING)
        if "not_counted" not in result:
            run_files.require_fields(path, result, _TOTALS)
        print_closing_table(result, directory)
    elif (directory / run_files.CONFIG).exists():
        _print_progress(directory)
    else:
        raise FileNotFoundError(
            "`--workdir` must be the directory of a run. Received: "
            f"{str(directory)!r}, which has no {run_files.CONFIG}"
        )


def _print_progress(workdir: pathlib.Path) -> None:
    """Print the numbers in the last line of metrics.jsonl."""
    path = workdir / run_files.METRICS
    last: dict[str, Any] = {"step": 0}
    for _, record in run_files.read_metrics(path) if path.exists() else []:
        last = record or last
    numbers = {k: v for k, v in last.items() if isinstance(v, (int, float))}
    print(f"{workdir} is not finished; last line of metrics:")
    print(", ".join(f"{name} {v:g}" for name, v in numbers.items()))
