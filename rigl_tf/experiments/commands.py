"""The commands of the command line: parsed flags -> one library call.

TensorFlow is imported as late as possible, so that mistakes are told at once.
"""

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


def train(arguments):
    """Train and evaluate one model."""
    words = arguments.words
    with exit_codes.mistakes():
        settings = config.read(words, arguments.imports)
        n_workers = _join_workers(arguments.workers, arguments.worker)
        workdir = arguments.workdir or f"runs/{sweep_file.run_name(words)}"
        workdir = files.path(workdir)
    with exit_codes.stop_at_once():
        session.run(settings, workdir, n_workers)
    return 0


def prepare(arguments):
    """Download and prepare a data set, or check it."""
    with exit_codes.mistakes():
        with session.quiet_start():
            from rigl_tf.datasets import tfds_source
        found = tfds_source.prepare(arguments.name, arguments.data_dir)
    counts = ", ".join(f"{n} {count:,}" for n, count in found["splits"].items())
    print(f"{found['name']}: {counts} {found['unit']} in {found['directory']}")
    return 0


def sweep(arguments):
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


def evaluate(arguments):
    """Evaluate the newest checkpoint of a run."""
    with exit_codes.mistakes():
        workdir = files.path(arguments.workdir)
        written = workdir / run_files.CONFIG
        if files.is_local(written):
            written = written.absolute()  # no setting, whatever its name
        if not written.exists():
            raise FileNotFoundError(
                "`--workdir` must be the directory of a run. Received: "
                f"{arguments.workdir!r}, which has no config.gin"
            )
        words = arguments.words or ["STRATEGY=None"]
        experiment = session.experiment(
            config.read([str(written), *words], arguments.imports)
        )
        found = experiment.evaluate(
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


def sample(arguments):
    """Let the language model of a finished run write."""
    with exit_codes.mistakes():
        path = files.path(arguments.workdir) / run_files.MODEL
        if not path.exists():
            raise FileNotFoundError(
                "`--workdir` must be the directory of a finished run. "
                f"Received: {arguments.workdir!r}, which has no model.keras"
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


def _join_workers(addresses, index):
    """Turn --workers and --worker into `TF_CONFIG`; return their number."""
    if addresses is None and index is None:
        return 1
    if addresses is None or index is None:
        raise ValueError(
            "`--workers` and `--worker` go together. Received: "
            f"--workers={addresses}, --worker={index}"
        )
    addresses = addresses.split(",")
    os.environ["TF_CONFIG"] = cluster_config.tf_config(addresses, index)
    return len(addresses)
