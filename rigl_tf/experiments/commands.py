"""The commands `train`, `prepare`, `sweep`, `evaluate` and `sample`.

TensorFlow is imported as late as possible, so that mistakes are reported
immediately.
"""

import argparse
import codecs
import json
import os

from rigl_tf import checks
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import config
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import parallel_runs
from rigl_tf.experiments import run_queue
from rigl_tf.experiments import session
from rigl_tf.experiments import sweep_file
from rigl_tf.experiments import terminal
from rigl_tf.training.hardware import cluster_config


def train(arguments: argparse.Namespace) -> int:
    """Train and evaluate one model."""
    words = arguments.words
    with exit_codes.mistakes():
        configuration = config.read(words, arguments.imports)
        n_workers = _join_workers(arguments.workers, arguments.worker)
        workdir = arguments.workdir or f"runs/{sweep_file.run_name(words)}"
        workdir = files.path(workdir)
    with exit_codes.stop_at_once():
        session.run(configuration, workdir, n_workers)
    return 0


def prepare(arguments: argparse.Namespace) -> int:
    """Download and prepare a data set, or check it."""
    with exit_codes.mistakes():
        with session.quiet_start():
            from rigl_tf.datasets import tfds_source
        found = tfds_source.prepare(arguments.name, arguments.data_dir)
    counts = ", ".join(f"{n} {count:,}" for n, count in found["splits"].items())
    print(f"{found['name']}: {counts} {found['unit']} in {found['directory']}")
    return 0


def sweep(arguments: argparse.Namespace) -> int:
    """Train every line of a file."""
    with exit_codes.mistakes():
        checks.at_least("--jobs", arguments.jobs, 1, integer=True)
        runs = sweep_file.resolve(
            sweep_file.read(arguments.name, arguments.words), arguments.workdir
        )
        for words, _ in runs:
            config.read(words, arguments.imports)
        runs = run_queue.shard(runs, arguments.shard)
    if arguments.dry_run:
        parallel_runs.show(runs)
    elif arguments.jobs > 1:
        return parallel_runs.run_all(runs, arguments.jobs, arguments.imports)
    else:
        parallel_runs.run_in_turn(runs, arguments.imports, session.run)
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate the newest checkpoint of a run."""
    with exit_codes.mistakes():
        workdir = files.path(arguments.workdir)
        words = arguments.words or ["STRATEGY=None"]
        experiment = session.experiment_of(
            arguments.workdir, words, arguments.imports
        )
        from rigl_tf.experiments import runs

        found = runs.Run(experiment).evaluate(
            workdir,
            step=arguments.step,
            per_class=arguments.per_class,
            batch_statistics=arguments.batch_statistics,
        )
    classes = found.pop("classes", None)
    print(json.dumps(found))
    if classes is not None:
        terminal.print_classes(classes)
    return 0


def sample(arguments: argparse.Namespace) -> int:
    """Generate text with the language model of a finished run."""
    with exit_codes.mistakes():
        path = files.path(arguments.workdir) / run_files.MODEL
        if not path.exists():
            raise FileNotFoundError(
                "`--workdir` must be the directory of a finished run. "
                f"Received: {arguments.workdir!r}, which has no "
                f"{run_files.MODEL}"
            )
        with session.quiet_start():
            from rigl_tf.export import keras_file
            from rigl_tf.models import text_sampling

            written = text_sampling.sample(
                keras_file.load(path),
                arguments.prompt.encode(errors="surrogateescape"),
                arguments.length,
                arguments.temperature,
                arguments.seed,
            )
    text = codecs.getincrementaldecoder("utf-8")(errors="replace")
    print(arguments.prompt, end="", flush=True)
    for byte in written:
        print(text.decode(bytes([byte])), end="", flush=True)
    print(text.decode(b"", final=True))
    return 0


def _join_workers(workers: str | None, index: int | None) -> int:
    """Set TF_CONFIG from --workers and --worker; return their number."""
    if workers is None and index is None:
        return 1
    if workers is None or index is None:
        raise ValueError(
            "`--workers` and `--worker` go together. Received: "
            f"--workers={workers}, --worker={index}"
        )
    addresses = workers.split(",")
    os.environ["TF_CONFIG"] = cluster_config.tf_config(addresses, index)
    return len(addresses)
