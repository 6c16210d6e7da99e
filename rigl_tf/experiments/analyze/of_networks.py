"""Analyses of trained networks: paths, Hessians, gradients, agreement."""

import argparse
from typing import Any

import numpy as np

from rigl_tf.analysis import network_figures
from rigl_tf.experiments.analyze import analyzed_runs
from rigl_tf.experiments.analyze import command


def interpolate(arguments: argparse.Namespace) -> command.Outcome:
    """Compute the loss on the line between two runs."""

    def path(first, second, inputs, labels):
        from rigl_tf.analysis import paths

        return paths.interpolate(
            first,
            second,
            inputs,
            labels,
            points=arguments.points,
            low=arguments.low,
            high=arguments.high,
            progress=command.Bar("line"),
        )

    return _between(arguments, path)


def bezier(arguments: argparse.Namespace) -> command.Outcome:
    """Find a Bezier curve of low loss between two runs."""

    def path(first, second, inputs, labels):
        from rigl_tf.analysis import paths

        return paths.bezier(
            first,
            second,
            inputs,
            labels,
            degree=arguments.degree,
            space=arguments.space,
            steps=arguments.steps,
            rate=arguments.rate,
            step_batch=arguments.batch_size,
            points=arguments.points,
            seed=arguments.seed,
            progress=command.Bar("curve"),
        )

    return _between(arguments, path)


def _between(arguments, path):
    """Compute a path from each run of `--from` to the run of `--to`."""
    firsts = [_run(arguments, name) for name in arguments.first]
    last = _run(arguments, arguments.to)
    *titles, end = _titles([*firsts, last])
    second = last.network(arguments.step_to)
    inputs, labels = last.examples(arguments.split, arguments.examples)
    from rigl_tf.analysis import weights

    rows, found, curves = [], {}, {}
    for title, run in zip(titles, firsts):
        first = run.network(arguments.step_from)
        weights.require_alike(first, second)
        one = path(first, second, inputs, labels)
        measures = {
            "distance": weights.distance(first, second),
            "cosine": weights.cosine(first, second),
            "jaccard": weights.jaccard(first, second),
        }
        name = f"{title} to {end}"
        rows.append(_path_row(name, one, measures))
        found[name] = one.to_json() | measures | {"examples": len(inputs)}
        curves[name] = (one.t, one.losses)
    return command.Outcome(
        ("path", "loss at 0", "at 1", "highest", "barrier", "monotone")
        + tuple(measures),
        rows,
        found,
        network_figures.loss_paths(curves),
        [*firsts, last],
        last.workdir,
    )


def _path_row(name, path, measures):
    begin, end = (path.losses[path.t == t][0] for t in (0, 1))
    return (
        name,
        f"{begin:.6f}",
        f"{end:.6f}",
        f"{path.highest:.4f}",
        f"{path.barrier:.4f}",
        "yes" if path.is_monotone() else "no",
        *(f"{value:.3f}" for value in measures.values()),
    )


def hessian(arguments: argparse.Namespace) -> command.Outcome:
    """Compute the spectrum of the Hessian of runs."""
    rows, found, densities = [], [], {}
    runs = [_run(arguments, name) for name in arguments.runs]
    for title, run in zip(_titles(runs), runs):
        network = run.network(arguments.step)
        inputs, labels = run.examples(arguments.split, arguments.examples)
        from rigl_tf.analysis import spectrum

        one = spectrum.hessian(
            network,
            inputs,
            labels,
            steps=arguments.steps,
            probes=arguments.probes,
            exact=arguments.exact,
            seed=arguments.seed,
            progress=command.Bar(title),
        )
        densities[title] = one.density()
        found.append(one.to_json())
        rows.append(
            (
                title,
                f"{one.size:,}",
                " ".join(f"{value:.4f}" for value in one.largest),
                f"{one.smallest:.4f}",
                f"{one.trace:.2f} ± {one.trace_error:.2f}",
                f"{one.negative_share:.3f}",
            )
        )
    return command.Outcome(
        ("run", "weights", "largest", "least", "trace", "negative"),
        rows,
        found,
        network_figures.spectra(densities),
        runs,
        runs[0].workdir,
    )


def flow(arguments: argparse.Namespace) -> command.Outcome:
    """Compute norms of the gradient at the checkpoints of runs."""
    runs = [_run(arguments, name) for name in arguments.runs]
    series = {
        title: _flow_of(title, run, arguments)
        for title, run in zip(_titles(runs), runs)
    }
    header: tuple[str, ...]
    if arguments.updates:
        header = ("run", "updates", "norm rises", "p, sign test", "mean change")
        rows = [_update_row(*of_run) for of_run in series.items()]
    else:
        header = ("run", "step", "loss", "active norm", "dense norm", "share")
        rows = [
            _flow_row(title, record)
            for title, records in series.items()
            for record in records
        ]
    return command.Outcome(
        header,
        rows,
        series,
        network_figures.gradient_norms(series),
        runs,
        runs[0].workdir,
    )


def _flow_of(title, run, arguments) -> list[dict[str, Any]]:
    """Return the norms at each checkpoint, and after an update there."""
    examples = run.examples(arguments.split, arguments.examples)
    from rigl_tf.analysis import flow as analysis_flow
    from rigl_tf.analysis import loss

    steps = run.steps()
    if not steps:
        raise FileNotFoundError(
            "`flow` needs checkpoints; train with KEEP_CHECKPOINT_EVERY. "
            f"Received: none in {str(run.workdir)!r}"
        )
    bar, records, function = command.Bar(title), [], None
    due = set(run.update_steps()) if arguments.updates else set()
    for number, step in enumerate(steps):
        given = run.network(step)
        function = function or loss.Loss(given, *examples)
        before = analysis_flow.at(given, function)
        records.append({"step": step, **before.to_json()})
        if step in due:
            after = analysis_flow.at(run.after_update(), function)
            records[-1]["updated"] = after.to_json()
        bar(number + 1, len(steps))
    return records


def _flow_row(title, record):
    return (
        title,
        str(record["step"]),
        f"{record['loss']:.4f}",
        f"{record['active']:.4f}",
        f"{record['dense']:.4f}",
        f"{record['active'] / record['dense']:.3f}",
    )


def _update_row(title, records):
    """Return what the updates of a run did to the norm that it follows."""
    from scipy import stats  # takes longer than the rest of the command line

    changes = [
        record["updated"]["active"] - record["active"]
        for record in records
        if "updated" in record
    ]
    if not changes:
        return (title, "0", "–", "–", "–")
    n_moved, n_up = np.count_nonzero(changes), np.sum(np.greater(changes, 0))
    p = stats.binomtest(int(n_up), n_moved).pvalue if n_moved else 1.0
    mean = f"{np.mean(changes):+.4f}"
    return (title, str(len(changes)), str(n_up), f"{p:.2g}", mean)


def agreement(arguments: argparse.Namespace) -> command.Outcome:
    """Compare the answers and the weights of runs."""
    runs = [_run(arguments, name) for name in arguments.runs]
    others = []
    if arguments.reference is not None:
        others = [_run(arguments, arguments.reference)]
    networks = [run.network() for run in [*runs, *others]]
    inputs, labels = runs[0].examples(arguments.split, arguments.examples)
    from rigl_tf.analysis import disagreement

    reference = networks[-1] if others else None
    found = disagreement.agreement(
        networks[: len(runs)], inputs, labels, reference
    )
    rows = [
        ("accuracy", _spread(found.accuracies)),
        (f"accuracy of the ensemble of {len(runs)}", f"{found.ensemble:.4f}"),
        ("disagreement of pairs", _spread(found.disagreement)),
        ("Jaccard index of connections", _spread(found.jaccard)),
    ]
    if others:
        rows += [
            ("disagreement with the reference", _spread(found.with_reference)),
            ("cosine with the reference", _spread(found.cosines)),
            ("KL from the reference", _spread(found.divergences)),
        ]
    titles = _titles([*runs, *others])
    places = disagreement.positions(found.distances)
    return command.Outcome(
        (f"of {len(runs)} runs", "mean ± deviation"),
        rows,
        found.to_json() | {"titles": titles, "positions": places.tolist()},
        network_figures.weight_map(places, titles),
        [*runs, *others],
        runs[0].workdir,
    )


def _spread(values):
    mean = f"{np.mean(values):.4f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.4f}"


def _titles(runs):
    return analyzed_runs.titles_of([run.workdir for run in runs])


def _run(arguments, name):
    return analyzed_runs.Analyzed(name, arguments.below, arguments.imports)
