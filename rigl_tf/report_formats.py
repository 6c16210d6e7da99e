"""Rows of results as Markdown, CSV or HTML."""

import base64
import csv
import html
import io

from rigl_tf import knobs
from rigl_tf import results


def markdown(rows):
    """Format rows as a Markdown table; accuracies in per cent.

    Columns that are the same for all rows by default are left out; settings in
    which runs differ have one, see `knobs.differing`.

    Args:
        rows: of `results.rows` or `results.beside_published`.
    """
    header, *cells = _cells(rows)
    lines = [header, ["---"] * len(header), *cells]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def comma_separated(rows):
    """Format all fields of rows as CSV; accuracies of ours in [0, 1].

    Of the settings those in which runs differ, see `knobs.differing`.
    """
    shown = knobs.differing(rows)
    rows = [
        {
            **{name: v for name, v in row.items() if name != "settings"},
            **{n: knobs.text(row, n) for n in shown if n in row["settings"]},
        }
        for row in rows
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def web_page(rows):
    """Format rows as one HTML page: accuracy over FLOPs, then the table.

    Raises:
        ImportError: matplotlib is not installed.
    """
    header, *cells = _cells(rows)

    def line(tag, values):
        inside = "".join(f"<{tag}>{html.escape(v)}</{tag}>" for v in values)
        return f"<tr>{inside}</tr>"

    body = "\n".join([line("th", header), *(line("td", c) for c in cells)])
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        "<title>rigl_tf report</title>\n<style>body{font-family:sans-serif;"
        "margin:2em}table{border-collapse:collapse;white-space:nowrap}th,td{"
        "padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}"
        "</style>\n"
        f"{_plots(rows)}\n<table>\n{body}\n</table>\n</html>"
    )


_ALONG_A_LINE = ("SPARSITY", "TRAINING_MULTIPLIER")
FORMATS = {"md": markdown, "csv": comma_separated, "html": web_page}


def _cells(rows):
    """Return the header and the cells of each row."""
    structured = any(r["pattern"] != "unstructured" for r in rows)
    stretched = any(r["training_multiplier"] != 1 for r in rows)
    compared = any("published_accuracy" in r for r in rows)
    edges = any("edge" in r for r in rows)
    bits = any("bits_per_character" in r for r in rows)
    shown = knobs.differing(rows)
    header = ["task", "method", "distribution", "sparsity"]
    header += ["pattern"] * structured + ["training"] * stretched + shown
    header += ["bits per character"] * bits + ["test accuracy, %", "runs"]
    header += ["published, %"] * compared
    header += ["inference FLOPs", "training FLOPs"]
    header += ["input connections at the edge"] * edges
    lines = [header]
    for row in rows:
        # Dense training has no distribution.
        distribution = row["distribution"] if row["sparsity"] else "–"
        cells = [row["task"], row["method"], distribution]
        cells.append(f"{row['sparsity']:g}")
        cells += [row["pattern"]] * structured
        cells += [f"{row['training_multiplier']:g}x"] * stretched
        cells += [knobs.text(row, name) for name in shown]
        cells += [_mean(row, "bits_per_character", 1, 4)] * bits
        cells += [_mean(row, "accuracy", 100, 2), str(row["n"])]
        cells += [_theirs(row)] * compared
        costs = (row.get(name) for name in results.COSTS)
        cells += [f"{c:.3f}x" if c is not None else "–" for c in costs]
        if edges:
            edge = row.get("edge")
            cells.append(f"{edge[0]:.3f} → {edge[1]:.3f}" if edge else "–")
        lines.append(cells)
    return lines


def _mean(row, name, unit, digits):
    if name not in row:
        return "–"
    text = f"{unit * row[name]:.{digits}f}"
    if row["n"] > 1:
        text += f" ± {unit * row[f'{name}_std']:.{digits}f}"
    return text


def _theirs(row):
    if "published_accuracy" not in row:
        return "–"
    text = f"{row['published_accuracy']:g}"
    if "published_std" in row:
        text += f" ± {row['published_std']:g}"
    return text


def _plots(rows):
    """Draw accuracy over FLOPs of training, one panel per task."""
    cost = results.COSTS[1]  # of training
    run = [row for row in rows if row["n"] and cost in row]
    if not run:
        return "<p>No run has finished.</p>"
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "`--format=html` needs matplotlib. Install it with: "
            "pip install rigl-tf[plots]"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import figure

    tasks = sorted({row["task"] for row in run})
    drawing = figure.Figure(figsize=(7, 4.5 * len(tasks)), layout="constrained")
    panels = drawing.subplots(len(tasks), squeeze=False)[:, 0]
    for task, panel in zip(tasks, panels):
        _draw(panel, [r for r in run if r["task"] == task], cost)
        panel.set_title(f"{task} (crosses: published)")
    stream = io.BytesIO()
    drawing.savefig(stream, format="png", dpi=110)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="accuracy over FLOPs" src="data:image/png;base64,{data}">'


def _draw(panel, rows, cost):
    """Draw the rows of one task, a line per method and its settings.

    A line goes over sparsities and lengths of training.
    """
    measure, unit, title = "accuracy", 100, "test accuracy, %"
    if all("bits_per_character" in row for row in rows):
        measure, unit, title = "bits_per_character", 1, "bits per character"
    for name, members in sorted(_lines(rows).items()):
        points = sorted(
            (
                (row[cost], unit * row[measure], row.get("published_accuracy"))
                for row in members
            ),
            key=lambda point: point[:2],
        )
        costs, ours, theirs = zip(*points)
        label = name.replace("$", r"\$")  # or else a formula
        (line,) = panel.plot(costs, ours, "o-", label=label)
        known = [(c, t) for c, t in zip(costs, theirs) if t is not None]
        if known:
            panel.plot(*zip(*known), "x", color=line.get_color(), markersize=9)
    costs = [row[cost] for row in rows]
    if max(costs) > 3 * min(costs):  # else its labels would overlap
        panel.set_xscale("log")
    panel.set_xlabel("FLOPs of training, multiples of dense")
    panel.set_ylabel(title)
    panel.legend(fontsize="small", ncols=2)


def _lines(rows):
    """Group the rows of one task; return title -> rows.

    A title names the method and what distinguishes it from other lines of the
    same method: everything in which rows differ, but sparsity and length.
    """
    lines = {}
    for method in {row["method"] for row in rows}:
        alike = [row for row in rows if row["method"] == method]
        names = knobs.differing(alike)
        names = [name for name in names if name not in _ALONG_A_LINE]
        fields = [
            name
            for name in ("distribution", "pattern")
            if len({row[name] for row in alike}) > 1
        ]
        for row in alike:
            parts = [str(row[name]) for name in fields]
            parts += [f"{name}={knobs.text(row, name)}" for name in names]
            lines.setdefault(", ".join([method, *parts]), []).append(row)
    return lines
