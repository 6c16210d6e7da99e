"""Estimate how long sweeps take on a GPU, from their counted FLOPs.

    python scripts/gpu_hours.py sweeps/cifar10 sweeps/resnet50

A masked step computes what a dense one does, so a run costs three times the
dense FLOPs of the forward pass for each example. A GPU reaches a share of its
peak, `--utilization`; small networks reach less. Nothing is trained.
"""

import argparse

from rigl_tf import accounting
from rigl_tf import text_tables
from rigl_tf.experiments import config
from rigl_tf.experiments import networks
from rigl_tf.experiments import session
from rigl_tf.experiments import sweep_file

# Peak of dense products with 16-bit inputs [TFLOP/s], of NVIDIA's data sheets.
PEAKS = {"V100": 125, "A100": 312, "H100": 989}


def training_flops(words, forward):
    """Return the dense FLOPs of a run; `forward` keeps those of networks."""
    experiment = session.build_experiment(config.read(words))
    network = (experiment.task, experiment.width)
    if network not in forward:
        dataset = networks.create_dataset(experiment)
        own = networks.Networks(experiment, dataset)
        forward[network] = accounting.count(own.dense(own.width)).flops
    examples = experiment.total_steps * experiment.batch_size
    return 3 * forward[network] * examples


def main():
    """Print a row for each sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+")
    parser.add_argument("--utilization", type=float, default=0.25)
    arguments = parser.parse_args()
    rows, forward = [], {}
    for sweep in arguments.sweeps:
        runs = sweep_file.read(sweep)
        total = sum(training_flops(run.words, forward) for run in runs)
        hours = [
            total / (peak * 1e12 * arguments.utilization) / 3600
            for peak in PEAKS.values()
        ]
        rows.append(
            [
                sweep,
                str(len(runs)),
                f"{total:.2g}",
                *(f"{hour:,.1f}" for hour in hours),
            ]
        )
    header = ["sweep", "runs", "FLOPs", *(f"{name}, hours" for name in PEAKS)]
    print(text_tables.markdown(header, rows))
    print(f"\nAt {100 * arguments.utilization:.0f} % of the peak.")


if __name__ == "__main__":
    main()
