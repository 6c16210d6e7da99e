"""Work directories -> rows -> tables, without TensorFlow."""

import collections
import contextlib
import statistics

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import knobs
from rigl_tf.experiments import published_accuracies

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
            f"`report` needs finished runs ({run_files.RESULT}). Received: "
            f"none below {str(directory)!r}; make some with `rigl_tf train` or "
            "`sweep`"
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
    if result["published"] not in {None, *published_accuracies.by_run()}:
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
        for wanted in published_accuracies.table(sweep)
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
    row = published_accuracies.by_run()[run]
    fields = {"published": run, "published_accuracy": float(row["accuracy"])}
    if row["std"]:
        fields["published_std"] = float(row["std"])
    return {**fields, "source": row["source"]}


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
