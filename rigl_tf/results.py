"""Work directories -> rows -> tables. Standard library only."""

import collections
import json
import pathlib
import statistics

_GROUP = ("task", "method", "distribution", "sparsity")


def rows(directory):
    """Collect the finished runs below a directory, one row per setting.

    Args:
        directory: directory above work directories.

    Returns:
        list of dictionaries: task, method, distribution, sparsity, n (number
        of runs), mean and standard deviation of the test accuracy, and mean
        shares of input connections at the edge, first and last, if
        `rigl_tf connectivity` has drawn all of these runs.

    Raises:
        FileNotFoundError: there is no finished run.
    """
    files = sorted(pathlib.Path(directory).glob("**/result.json"))
    if not files:
        raise FileNotFoundError(
            "`report` needs finished runs (result.json). Received: none below "
            f"{str(directory)!r}; make some with `rigl_tf train` or `sweep`"
        )
    groups = collections.defaultdict(list)
    for file in files:
        result = json.loads(file.read_text())
        drawn = file.with_name("connectivity.json")
        if drawn.exists():
            result.update(json.loads(drawn.read_text()))
        groups[tuple(result[name] for name in _GROUP)].append(result)
    return [
        {**dict(zip(_GROUP, key)), **_statistics(group)}
        for key, group in sorted(
            groups.items(), key=lambda item: (item[0][0], _mean(item[1]))
        )
    ]


def markdown(table_rows):
    """Format rows as a Markdown table; accuracies in per cent."""
    header = ["task", "method", "distribution", "sparsity"]
    header += ["test accuracy, %", "runs"]
    edges = any("edge" in row for row in table_rows)
    if edges:
        header.append("input connections at the edge")
    lines = [header, ["---"] * len(header)]
    for row in table_rows:
        accuracy = f"{100 * row['accuracy']:.2f}"
        if row["n"] > 1:
            accuracy += f" ± {100 * row['accuracy_std']:.2f}"
        # Dense training has no distribution.
        distribution = row["distribution"] if row["sparsity"] else "–"
        cells = [row["task"], row["method"], distribution]
        cells += [f"{row['sparsity']:g}", accuracy, str(row["n"])]
        if edges:
            edge = row.get("edge")
            cells.append(f"{edge[0]:.3f} → {edge[1]:.3f}" if edge else "–")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def print_closing_table(result, workdir):
    """Print what a run has come to."""
    width = max([len(layer["name"]) for layer in result["layers"]] + [5])
    if result["layers"]:
        print(f"\n{'layer':<{width}}  {'shape':>16}  sparsity    active")
    for layer in result["layers"]:
        shape = "x".join(map(str, layer["shape"]))
        print(
            f"{layer['name']:<{width}}  {shape:>16}  "
            f"{layer['sparsity']:8.4f}  {layer['n_active']:>8,}"
        )
    print(
        f"\n{result['method']} on {result['task']}: "
        f"test accuracy {100 * result['accuracy']:.2f} %, "
        f"sparsity {result['sparsity_achieved']:.4f}, "
        f"{result['steps']} steps in {result['wall_seconds']:.1f} s"
    )
    print(f"results in {workdir}")


def _statistics(group):
    accuracies = [result["accuracy"] for result in group]
    row = {
        "n": len(group),
        "accuracy": statistics.fmean(accuracies),
        "accuracy_std": statistics.stdev(accuracies) if len(group) > 1 else 0.0,
    }
    if all("edge_shares" in result for result in group):
        shares = [result["edge_shares"] for result in group]
        row["edge"] = [statistics.fmean(s[i] for s in shares) for i in (0, -1)]
    return row


def _mean(group):
    return statistics.fmean(result["accuracy"] for result in group)
