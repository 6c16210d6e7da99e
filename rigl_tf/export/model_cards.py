"""Write model cards: what a model is, how good, how large, how to load it.

A card is a README.md for Hugging Face: a block of metadata in YAML, then
Markdown. The metadata are written as JSON values, which YAML includes.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
from typing import Any

from scipy import stats

from rigl_tf import text_tables
from rigl_tf.export import formats
from rigl_tf.export import saving


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Right answers of an exported file on test examples.

    Attributes:
        n_right: how many answers were right.
        n_examples: of how many.
    """

    n_right: int
    n_examples: int

    @property
    def value(self) -> float:
        """Fraction of right answers."""
        return self.n_right / self.n_examples

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of Wilson (1927)."""
        test = stats.binomtest(self.n_right, self.n_examples)
        found = test.proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


def markdown(
    report: saving.ExportReport,
    result: Mapping[str, Any] | None = None,
    accuracy: Accuracy | None = None,
    latencies: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return a model card.

    Args:
        report: what was exported.
        result: the content of the run's result.json, or None.
        accuracy: accuracy of the exported file, or None.
        latencies: dictionaries with the fields of `latency.Latency`.
    """
    result = result or {}
    parts = [_metadata(result, accuracy), _title(report, result)]
    parts.append(_loading(report))
    parts.append(_table("What it is", _description(report, result)))
    parts.append(_table("Quality", _quality(report, accuracy)))
    parts.append(_table("Cost", _costs(report, result)))
    if latencies:
        header = list(latencies[0])
        rows = [[_cell(row[name]) for name in header] for row in latencies]
        parts.append("## Speed\n\n" + text_tables.markdown(header, rows))
    if result.get("settings"):
        words = [
            f"{name}={value!r}"
            for name, value in result["settings"].items()
            if name.isupper()  # the others follow from task and method
        ]
        parts.append(
            "## Training\n\nTrained with rigl_tf, with these settings:\n\n"
            "```text\n" + "\n".join(words) + "\n```"
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _metadata(result: Mapping[str, Any], accuracy: Accuracy | None) -> str:
    """Return the block of metadata that Hugging Face reads."""
    fields: dict[str, Any] = {
        "library_name": "keras",
        "tags": ["sparsity", "rigl_tf"],
    }
    method, task = result.get("method"), result.get("task")
    if method:
        fields["tags"].append(method)
    if accuracy is not None and task:
        fields["metrics"] = ["accuracy"]
        low, high = accuracy.interval()
        fields["model-index"] = [
            {
                "name": f"{task}, {method}",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": task, "type": task},
                        "metrics": [
                            {
                                "type": "accuracy",
                                "value": round(accuracy.value, 6),
                                "name": "test accuracy",
                                "args": {
                                    "n": accuracy.n_examples,
                                    "interval_95": [
                                        round(low, 6),
                                        round(high, 6),
                                    ],
                                },
                            }
                        ],
                    }
                ],
            }
        ]
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _title(report: saving.ExportReport, result: Mapping[str, Any]) -> str:
    if not result:
        return f"# Sparse model, {report.zeros:.1%} zeros"
    return (
        f"# {result['task']}, {result['method']}, "
        f"{100 * result['sparsity']:g} % sparse"
    )


def _loading(report: saving.ExportReport) -> str:
    name = report.path.rstrip("/").rpartition("/")[2]
    inputs = ", ".join(f"{name}={name}" for name in report.inputs)
    if len(report.inputs) == 1:
        inputs = f"{report.inputs[0]}=inputs"
    code = formats.FORMATS[report.format].loading
    code = code.format(name=name, inputs=inputs)
    return f"```python\n{code}\n```"


def _description(report, result):
    """Return pairs of what a model is."""
    yield "format", f"{report.format}, {report.precision}"
    for name in (
        "task",
        "method",
        "distribution",
        "pattern",
        "steps",
        "seed",
    ):
        if result.get(name) is not None:
            yield name, str(result[name])
    yield "zeros in all kernels", f"{report.zeros:.4f}"


def _quality(report, accuracy):
    """Return pairs of how good a file is."""
    if accuracy is not None:
        low, high = accuracy.interval()
        yield (
            "test accuracy of this file",
            f"{accuracy.value:.4f} ({accuracy.n_right} of "
            f"{accuracy.n_examples}; 95 % interval {low:.4f} to {high:.4f})",
        )
    if report.max_difference is None:
        yield "weights", "equal to the model's bit by bit"
    else:
        yield (
            "largest difference to the outputs of the Keras model",
            f"{report.max_difference:.2g} (outputs up to "
            f"{report.largest_output:.2g}, {report.n_examples} examples)",
        )


def _costs(report, result):
    """Return pairs of what a model costs."""
    yield "bytes of the file", f"{report.bytes:,}"
    yield "bytes of the weights, stored densely", f"{report.dense_bytes:,}"
    for name, title in (
        ("active_parameters", "active parameters"),
        ("inference_flops", "FLOPs of an inference, zeros skipped"),
    ):
        if result.get(name) is not None:
            yield title, f"{result[name]:,.0f}"


def _table(title: str, pairs: Any) -> str:
    return f"## {title}\n\n" + text_tables.markdown(["", ""], list(pairs))
