"""The commands of the command line: parsed flags -> one library call.

TensorFlow is imported as late as possible, so that mistakes are told at once.
"""

import codecs
import json
import os
import zipfile

from rigl_tf import cards
from rigl_tf import checks
from rigl_tf import config
from rigl_tf import failures
from rigl_tf import files
from rigl_tf import jobs
from rigl_tf import launch
from rigl_tf import queues
from rigl_tf import report_formats
from rigl_tf import results
from rigl_tf import run_files
from rigl_tf import sweeps
from rigl_tf import trust
from rigl_tf.training.hardware import cluster_config

TABLES = (
    "resnet50",
    "mobilenet_v1",
    "mobilenet_v2",
    "widths",
    "cifar",
    "erk",
    "dsr",
    "str",
    "gru",
    "lenet",
)


def train(arguments):
    """Train and evaluate one model."""
    words = arguments.words
    with failures.mistakes():
        settings = config.read(words, arguments.imports)
        n_workers = _join_workers(arguments.workers, arguments.worker)
        workdir = arguments.workdir or f"runs/{sweeps.run_name(words)}"
        workdir = files.path(workdir)
    with failures.stop_at_once():
        launch.run(settings, workdir, n_workers)
    return 0


def prepare(arguments):
    """Download and prepare a data set, or check it."""
    with failures.mistakes():
        with launch.quiet_start():
            from rigl_tf.datasets import tfds_source
        found = tfds_source.prepare(arguments.name, arguments.data_dir)
    counts = ", ".join(f"{n} {count:,}" for n, count in found["splits"].items())
    print(f"{found['name']}: {counts} {found['unit']} in {found['directory']}")
    return 0


def sweep(arguments):
    """Train every line of a file."""
    with failures.mistakes():
        checks.at_least("--jobs", arguments.jobs, 1, integer=True)
        runs = sweeps.resolve(
            sweeps.read(arguments.name, arguments.words), arguments.workdir
        )
        for words, _ in runs:
            config.read(words, arguments.imports)
        runs = queues.shard(runs, arguments.shard)
    if arguments.dry_run:
        jobs.show(runs)
    elif arguments.jobs > 1:
        return jobs.run_all(runs, arguments.jobs, arguments.imports)
    else:
        jobs.run_in_turn(runs, arguments.imports, launch.run)
    return 0


def report(arguments):
    """Tabulate finished runs."""
    with failures.mistakes():
        checks.one_of("--format", arguments.format, report_formats.FORMATS)
        if arguments.published is not None:
            rows = results.beside_published(
                arguments.directory, arguments.published
            )
        else:
            rows = results.rows(arguments.directory)
        text = report_formats.FORMATS[arguments.format](rows)
    print(text)
    return 0


def methods(arguments):
    """List all methods, or show the card of one."""
    with failures.mistakes():
        if arguments.name is None:
            print(cards.markdown())
        else:
            card = cards.find(arguments.name)
            print(f"methods/{card.name}: {card.summary}.")
            print(f"\n{card.text or 'Dense training, without a mask updater.'}")
    return 0


def count(arguments):
    """Count operations, parameters and bytes."""
    with failures.mistakes():
        if arguments.model is not None and not arguments.words:
            counts = _count_file(arguments)
        elif arguments.model is not None or arguments.input_shape is not None:
            raise ValueError(
                "`count` takes words, or --model with --input_shape, not both. "
                f"Received: {' '.join(arguments.words)}, "
                f"--model={arguments.model}, "
                f"--input_shape={arguments.input_shape}"
            )
        else:
            settings = config.read(arguments.words, arguments.imports)
            counts = launch.experiment(settings).count(arguments.rule)
    if arguments.json:
        print(json.dumps(counts, indent=1))
        return 0
    results.print_costs(counts["costs"])
    if counts.get("layers"):
        print()
        results.print_layers(counts["layers"])
    results.print_totals(counts)
    return 0


def _count_file(arguments):
    shape = None
    if arguments.input_shape is not None:
        sizes = arguments.input_shape.split(",")
        if not all(size.isdecimal() and int(size) for size in sizes):
            raise ValueError(
                "`--input_shape` takes sizes from 1 on, e.g. 224,224,3. "
                f"Received: {arguments.input_shape!r}"
            )
        shape = tuple(map(int, sizes))
    if not zipfile.is_zipfile(arguments.model):
        raise ValueError(
            "`--model` must be a .keras file. "
            f"Received: {arguments.model!r}, which is none"
        )
    with launch.quiet_start():
        from rigl_tf import exports

        trust.import_modules(arguments.imports)
        return exports.count_file(arguments.model, arguments.rule, shape)


def table(arguments):
    """Print a table of the paper."""
    with failures.mistakes():
        if arguments.name not in TABLES:
            raise ValueError(
                f"There are the tables {', '.join(TABLES)}. "
                f"Received: {arguments.name!r}"
            )
        with launch.quiet_start():
            from rigl_tf.accounting import tables

            text = tables.markdown(arguments.name)
    print(text)
    return 0


def evaluate(arguments):
    """Evaluate the newest checkpoint of a run."""
    with failures.mistakes():
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
        experiment = launch.experiment(
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
        results.print_classes(classes)
    return 0


def sample(arguments):
    """Let the language model of a finished run write."""
    with failures.mistakes():
        path = files.path(arguments.workdir) / run_files.MODEL
        if not path.exists():
            raise FileNotFoundError(
                "`--workdir` must be the directory of a finished run. "
                f"Received: {arguments.workdir!r}, which has no model.keras"
            )
        with launch.quiet_start():
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


def summary(arguments):
    """Show what a run has come to."""
    with failures.mistakes():
        results.print_summary(arguments.workdir)
    return 0


def connectivity(arguments):
    """Draw the input layer's connections."""
    with failures.mistakes():
        from rigl_tf import connectivity

        for line in connectivity.draw(arguments.workdir):
            print(line)
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
