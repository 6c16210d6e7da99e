"""Work directories -> rows -> tables, without TensorFlow."""

import collections
import contextlib
import statistics

from rigl_tf import files
from rigl_tf import knobs
from rigl_tf import published
from rigl_tf import run_files

_GROUP = (
    "task",
    "method",
    "distribution",
    "sparsity",
    "pattern",
    "training_multiplier",
    "published",
)
_DEFAULTS = {
    "pattern": "unstructured",
    "training_multiplier": 1,
    "published": None,
}
MEASURES = ("accuracy", "bits_per_character")
COSTS = ("inference_flops_ratio", "train_flops_ratio_run")
# What the closing table of a run shows.
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


def rows(directory):
    """Collect the finished runs below a directory, one row per experiment.

    Runs of one experiment have equal settings, whatever their seeds. A run
    without settings has a row of its own.

    Args:
        directory: directory above work directories.

    Returns:
        list of dictionaries: task, method, distribution, sparsity, pattern,
        training_multiplier, published (the row that it reproduces, or None),
        settings (see `knobs.settings`), n (number of runs), mean and standard
        deviation of the test accuracy and, of language models, of bits per
        character, mean FLOPs of inference and training as multiples of dense
        ones, and mean shares of input connections at the edge, first and last,
        if `rigl_tf connectivity` has drawn all of these runs.

    Raises:
        FileNotFoundError: there is no finished run.
        files.DamagedFile: a result.json or connectivity.json is damaged.
    """
    found = files.find(files.path(directory), run_files.RESULT)
    if not found:
        raise FileNotFoundError(
            "`report` needs finished runs (result.json). Received: none below "
            f"{str(directory)!r}; make some with `rigl_tf train` or `sweep`"
        )
    groups = collections.defaultdict(list)
    for file in found:
        result = _read(file)
        if result.get("settings") is None:
            result["settings"] = {"directory": str(file.parent)}
        key = knobs.key([result["settings"], *(result[n] for n in _GROUP)])
        groups[key].append(result)
    return [
        {
            **{name: group[0][name] for name in (*_GROUP, "settings")},
            **_statistics(group),
            **_published(group[0]["published"]),
        }
        for group in sorted(
            groups.values(), key=lambda group: (group[0]["task"], _mean(group))
        )
    ]


def labeled(directory):
    """Map the labels of the finished runs below a directory to their places.

    Returns:
        dictionary from a label to a list of work directories.
    """
    found = collections.defaultdict(list)
    for file in files.find(files.path(directory), run_files.RESULT):
        label = run_files.read_result(file).get("label")
        if label is not None:
            found[label].append(file.parent.resolve())
    return dict(found)


def _read(file):
    """Read the result of a run, and what was drawn of it."""
    result = {**_DEFAULTS, **run_files.read_result(file)}
    run_files.require_fields(file, result, (*_GROUP, "accuracy"))
    if result["published"] not in {None, *published.by_run()}:
        raise files.DamagedFile(
            file, f"names no published row: {result['published']!r}"
        )
    drawn = file.with_name(run_files.CONNECTIVITY)
    if drawn.exists():
        shares = run_files.read_connectivity(drawn)["edge_shares"]
        result["edge_shares"] = shares
    return result


def beside_published(directory, sweep):
    """Return every published row of a sweep, with our runs beside it.

    Args:
        directory: directory above work directories.
        sweep: its name, e.g. "resnet50".

    Returns:
        list of dictionaries as `rows`; of runs that have not been made only
        what was published.
    """
    ours = collections.defaultdict(list)
    with contextlib.suppress(FileNotFoundError):  # nothing was run
        for row in rows(directory):
            ours[row["published"]].append(row)
    return [
        row
        for wanted in published.table(sweep)
        for row in ours.get(wanted["run"]) or [_not_run(wanted)]
    ]


def _not_run(wanted):
    """Return the row of a published result that nobody has reproduced."""
    return {
        "task": wanted["model"],
        "method": wanted["as_published"],
        "distribution": wanted["distribution"],
        "sparsity": float(wanted["sparsity"]),
        "pattern": "unstructured",
        "training_multiplier": float(wanted["training_multiplier"] or 1),
        "settings": {},
        "n": 0,
        **_published(wanted["run"]),
    }


def _published(run):
    """Return what was published where a run reproduces a row."""
    if run is None:
        return {}
    row = published.by_run()[run]
    fields = {"published": run, "published_accuracy": float(row["accuracy"])}
    if row["std"]:
        fields["published_std"] = float(row["std"])
    return {**fields, "source": row["source"]}


def print_costs(costs):
    """Print one line per layer: what it costs."""
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


def print_classes(classes):
    """Print one line per class: its precision and recall."""
    shown = [
        {n: "–" if value is None else value for n, value in row.items()}
        for row in classes
    ]
    for row in shown:
        for name in ("precision", "recall"):
            if row[name] != "–":
                row[name] = f"{row[name]:.4f}"
    _print_table([(n, n, "{}") for n in shown[0]], shown)


def print_masks(weights):
    """Print one line per weight of a model: its mask, or why it has none."""
    shown = [
        {
            **weight,
            "shape": "x".join(map(str, weight["shape"])),
            "sparsity": "–"
            if weight["sparsity"] is None
            else f"{weight['sparsity']:.4f}",
        }
        for weight in weights
    ]
    names = ("path", "type", "shape", "sparsity", "why")
    _print_table([(name, name, "{}") for name in names], shown)


def print_totals(totals):
    """Print what a model costs in all, and its training if that is known."""
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


def print_layers(layers):
    """Print one line per masked kernel, with what is known of its mask."""
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


def _print_table(columns, items):
    """Print dictionaries as rows; columns are (title, key, format)."""
    rows = [[title for title, _, _ in columns]]
    for item in items:
        rows.append([form.format(item[name]) for _, name, form in columns])
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    for first, *rest in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:])]
        print("  ".join(cells))


def print_closing_table(result, workdir):
    """Print what a run has come to."""
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
    print(f"results in {workdir}")


def print_summary(workdir):
    """Print the closing table of a finished run, or how far a run is.

    Raises:
        FileNotFoundError: the directory holds no run.
        files.DamagedFile: a file of the run is damaged.
    """
    workdir = files.path(workdir)
    path, metrics = workdir / run_files.RESULT, workdir / run_files.METRICS
    if path.exists():
        result = run_files.read_result(path, _CLOSING)
        if "not_counted" not in result:
            run_files.require_fields(path, result, _TOTALS)
        print_closing_table(result, workdir)
    elif (workdir / run_files.CONFIG).exists():
        last = {"step": 0}
        lines = run_files.read_metrics(metrics) if metrics.exists() else []
        for _, record in lines:
            last = record or last
        numbers = {k: v for k, v in last.items() if isinstance(v, (int, float))}
        print(f"{workdir} is not finished; last line of metrics:")
        print(", ".join(f"{name} {v:g}" for name, v in numbers.items()))
    else:
        raise FileNotFoundError(
            "`--workdir` must be the directory of a run. Received: "
            f"{str(workdir)!r}, which has no config.gin"
        )


def _statistics(group):
    row = {"n": len(group)}
    for name in MEASURES:
        if all(name in result for result in group):
            values = [result[name] for result in group]
            row[name] = statistics.fmean(values)
            row[f"{name}_std"] = (
                statistics.stdev(values) if len(group) > 1 else 0.0
            )
    for name in COSTS:
        if all(name in result for result in group):
            row[name] = statistics.fmean(result[name] for result in group)
    if all("edge_shares" in result for result in group):
        shares = [result["edge_shares"] for result in group]
        row["edge"] = [statistics.fmean(s[i] for s in shares) for i in (0, -1)]
    return row


def _mean(group):
    return statistics.fmean(result["accuracy"] for result in group)
