"""Analyses of masks and of what runs have written: no network is evaluated."""

import argparse
from typing import Any

import numpy as np

from rigl_tf import checks
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.analysis import mask_measures
from rigl_tf.analysis import network_figures
from rigl_tf.experiments import config
from rigl_tf.experiments import session
from rigl_tf.experiments.analyze import analyzed_runs
from rigl_tf.experiments.analyze import command
from rigl_tf.masks import storage

_DISTRIBUTIONS = ("uniform", "erdos_renyi", "erdos_renyi_kernel")
_INITIALIZERS = (None, "unit_scaled", "layer_scaled")


def masks(arguments: argparse.Namespace) -> command.Outcome:
    """Measure the recorded masks of a run over training."""
    place = analyzed_runs.find(arguments.run_name, arguments.below)
    directory = place / run_files.MASK_DIRECTORY
    steps = run_files.steps(directory)
    if not steps:
        raise FileNotFoundError(
            "`masks` needs a run with recorded masks; train with "
            f"RECORD_MASKS=True. Received: {str(place)!r}"
        )
    recorded = {
        step: storage.load(run_files.numbered(directory, step))
        for step in steps
    }
    records = mask_measures.measure_masks(recorded)
    shown = sorted(
        {*range(0, len(records), -(-len(records) // 10)), len(records) - 1}
    )
    rows = [
        (
            str(one.step),
            f"{one.with_first:.3f}",
            f"{one.with_previous:.3f}",
            f"{one.explored:.4f}",
            f"{one.age:.0f}",
            str(sum(one.dead_inputs.values())),
            str(sum(one.dead_outputs.values())),
        )
        for one in (records[number] for number in shown)
    ]
    found = mask_measures.to_json(records)
    last = recorded[steps[-1]]
    degrees = {
        path: dict(
            zip(
                ("inputs", "outputs"),
                map(_histogram, mask_measures.degrees(mask)),
            )
        )
        for path, mask in last.items()
    }
    return command.Outcome(
        (
            "step",
            "as first",
            "as previous",
            "explored",
            "mean age",
            "dead inputs",
            "dead outputs",
        ),
        rows,
        {"records": found, "degrees": degrees},
        network_figures.mask_history(found),
        [],
        place,
    )


def _histogram(degrees):
    """Count how many units have 0, 1, 2, ... connections."""
    return np.bincount(degrees).tolist()


def sparsity(arguments: argparse.Namespace) -> command.Outcome:
    """Compare what distributions make of an experiment's sparsity."""
    densities: dict[str, dict[str, float]] = {}
    flops: dict[str, float] = {}
    for name in _DISTRIBUTIONS:
        experiment = _experiment(arguments, f"DISTRIBUTION={name!r}")
        from rigl_tf.experiments import counting

        counted = counting.count(experiment)
        densities[name] = {
            layer["name"]: 1 - layer["sparsity"] for layer in counted["layers"]
        }
        flops[name] = counted["inference_flops_ratio"]
    if not densities[name]:
        raise ValueError(
            "`sparsity` compares distributions of sparse networks. Received: a "
            "dense method; name another, such as methods/rigl"
        )
    rows = [
        (path, *(f"{densities[name][path]:.4f}" for name in _DISTRIBUTIONS))
        for path in densities[name]
    ]
    rows.append(
        ("inference FLOPs", *(f"{flops[name]:.3f}x" for name in _DISTRIBUTIONS))
    )
    return command.Outcome(
        ("density of", *_DISTRIBUTIONS),
        rows,
        {"densities": densities, "inference_flops_ratio": flops},
        network_figures.density_bars(densities),
    )


def signal(arguments: argparse.Namespace) -> command.Outcome:
    """Measure how the first weights of sparse networks scale signals."""
    sparsities = _fractions("--sparsities", arguments.sparsities)
    checks.at_least("--seeds", arguments.seeds, 1, integer=True)
    named = any(word.startswith("methods/") for word in arguments.words)
    experiment = _experiment(arguments, *([] if named else ["methods/dense"]))
    from rigl_tf.analysis import signals
    from rigl_tf.experiments import networks
    from rigl_tf.layers import initializers
    from rigl_tf.layers import kernel_masks
    from rigl_tf.layers import masking

    own = networks.Networks(experiment, networks.create_dataset(experiment))
    bar = command.Bar("first weights")
    found: dict[str, dict[str, dict[float, list[float]]]] = {}
    n_done, n_all = 0, 2 * len(sparsities) * arguments.seeds

    def measure(masked, masks, fraction, seed):
        for name in _INITIALIZERS:
            if name is not None:
                kernels = kernel_masks.masked_kernels(masked)
                initializers.initialize(kernels, name, seed)
            value = signals.signal(masked, arguments.examples, seed)["output"]
            of_masks = found.setdefault(masks, {}).setdefault(str(name), {})
            of_masks.setdefault(fraction, []).append(value)

    import keras

    for fraction in sparsities:
        for seed in range(arguments.seeds):
            keras.utils.set_random_seed(seed)
            net = own.dense(1)
            even = masking.sparsify(net, fraction, "uniform", seed=seed)
            measure(even, "even", fraction, seed)
            uneven = signals.uneven_masks(net, fraction, seed)
            measure(masking.with_masks(net, uneven), "uneven", fraction, seed)
            n_done += 2
            bar(n_done, n_all)
    scales = {
        f"{masks} fan-in, {'dense' if name == 'None' else name}": {
            fraction: float(np.mean(values)) for fraction, values in of.items()
        }
        for masks, by_name in found.items()
        for name, of in by_name.items()
    }
    rows = [
        (title, *(f"{of[fraction]:.3g}" for fraction in sparsities))
        for title, of in scales.items()
    ]
    return command.Outcome(
        ("first weights", *(f"S = {fraction:g}" for fraction in sparsities)),
        rows,
        found,
        network_figures.signal_scales(scales),
    )


def curves(arguments: argparse.Namespace) -> command.Outcome:
    """Draw one number over the steps of several runs."""
    places = [
        place
        for name in arguments.runs
        for place in analyzed_runs.find_all(name, arguments.below)
    ]
    lines: dict[str, list[dict[str, Any]]] = {}
    rows = []
    for title, place in sorted(zip(analyzed_runs.titles_of(places), places)):
        read = run_files.read_metrics(place / run_files.METRICS)
        own = [row for _, row in read if row and arguments.y in row]
        if not own:
            raise ValueError(
                "`--y` must be a number of metrics.jsonl, such as loss. "
                f"Received: {arguments.y!r}, which {str(place)!r} lacks"
            )
        lines[title] = own
        result = files.path(place) / run_files.RESULT
        accuracy = run_files.read_result(result, ["accuracy"])["accuracy"]
        rows.append((title, f"{own[-1][arguments.y]:.4f}", f"{accuracy:.4f}"))
    shown = {
        f"{title}, accuracy {row[2]}": of
        for (title, of), row in zip(lines.items(), rows)
    }
    points = {
        title: [[row["step"], row[arguments.y]] for row in of]
        for title, of in lines.items()
    }
    return command.Outcome(
        ("run", f"last {arguments.y}", "test accuracy"),
        rows,
        points,
        network_figures.run_curves(shown, arguments.y),
        [],
        places[0],
    )


def _experiment(arguments, *words):
    configuration = config.read([*arguments.words, *words], arguments.imports)
    return session.build_experiment(configuration)


def _fractions(name, text):
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < 1 for value in values):
        raise ValueError(
            f"`{name}` must be fractions in [0, 1), separated by commas. "
            f"Received: {text!r}"
        )
    return values
