"""The commands of the command line: parsed flags -> one library call.

TensorFlow is imported as late as possible, so that mistakes are told at once.
"""

import codecs
import contextlib
import gc
import json
import os
import sys
import tempfile
import zipfile

from rigl_tf import cards
from rigl_tf import checks
from rigl_tf import clusters
from rigl_tf import config
from rigl_tf import failures
from rigl_tf import files
from rigl_tf import jobs
from rigl_tf import report_formats
from rigl_tf import results
from rigl_tf import run_files
from rigl_tf import sweeps
from rigl_tf import workdirs

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
        _run(settings, workdir, n_workers)
    return 0


def prepare(arguments):
    """Download and prepare a data set, or check it."""
    with failures.mistakes():
        with _quiet_start():
            from rigl_tf.datasets import prepared
        found = prepared.prepare(arguments.name, arguments.data_dir)
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
        settings = [config.read(words, arguments.imports) for words, _ in runs]
    if arguments.jobs > 1 and not arguments.dry_run:
        return jobs.run_all(runs, arguments.jobs, arguments.imports)
    stopped = False
    with failures.stop_at_once():
        for number, (words, workdir) in enumerate(runs, start=1):
            if stopped:
                raise failures.Interrupted(
                    f"stopped before run {number}; the same words go on"
                )
            print(f"[{number}/{len(runs)}] {' '.join(words)}")
            if not arguments.dry_run:
                stopped = _run(settings[number - 1], workdir)
                gc.collect()  # graphs are cycles that hold on to the data
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
            counts = _experiment(settings).count(arguments.rule)
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
    with _quiet_start():
        from rigl_tf import exports

        config.import_all(arguments.imports)
        return exports.count_file(arguments.model, arguments.rule, shape)


def table(arguments):
    """Print a table of the paper."""
    with failures.mistakes():
        if arguments.name not in TABLES:
            raise ValueError(
                f"There are the tables {', '.join(TABLES)}. "
                f"Received: {arguments.name!r}"
            )
        with _quiet_start():
            from rigl_tf import tables

            text = tables.markdown(arguments.name)
    print(text)
    return 0


def evaluate(arguments):
    """Evaluate the newest checkpoint of a run."""
    with failures.mistakes():
        workdir = files.path(arguments.workdir)
        written = workdir / run_files.CONFIG
        if not written.exists():
            raise FileNotFoundError(
                "`--workdir` must be the directory of a run. Received: "
                f"{arguments.workdir!r}, which has no config.gin"
            )
        words = arguments.words or ["STRATEGY=None"]
        experiment = _experiment(config.read([str(written), *words]))
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
        with _quiet_start():
            from rigl_tf import exports
            from rigl_tf import sampling

            written = sampling.sample(
                exports.load(path),
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


def _experiment(settings):
    """Import TensorFlow, parse, and build the `Experiment`."""
    with _quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs, aloud
        return config.parse(settings)()


def _run(settings, workdir, n_workers=1):
    """Train what the settings say; a finished run is only announced.

    Args:
        settings: `config.Config`.
        workdir: path of the work directory.
        n_workers: how many processes the flags speak of.

    Returns:
        whether a request to stop came, after the last step.
    """
    with failures.mistakes():
        experiment = _experiment(settings)
        text = config.resolved()
    with failures.of_training(), contextlib.ExitStack() as stack:
        with failures.mistakes():
            everyone = experiment.hardware.workers()
            _require_same(everyone, settings, n_workers)
            if everyone.from_chief(lambda: _is_finished(workdir, text)):
                if everyone.is_chief:
                    print(f"{workdir} holds this run, finished: nothing to do")
                return False
            built = experiment.build()
            everyone.from_chief(lambda: _claim(stack, workdir, text))
        should_stop = stack.enter_context(failures.stop_requests())
        result = experiment.train_and_evaluate(workdir, built, should_stop)
    if everyone.is_chief:
        results.print_closing_table(result, workdir)
    return should_stop()


def _require_same(everyone, settings, n_workers):
    """Require that all workers train the same run, and know of each other."""
    if n_workers > everyone.count:
        raise ValueError(
            f"`--workers` is for hardware/multi_worker. Received: {n_workers} "
            "workers, without that word"
        )
    words = (settings.words, settings.imports)
    differ = everyone.from_chief(lambda: words) != words
    differing, _ = everyone.agree(differ, 0)
    if differing:
        raise ValueError(
            "All workers must be given the same words. Received: other words "
            f"than those of the chief{' here' if differ else ' elsewhere'}"
        )


def _claim(stack, workdir, text):
    """Hold the work directory until the stack is closed."""
    stack.enter_context(workdirs.claim(workdir, text))


def _is_finished(workdir, text):
    """Require an own or new work directory; say whether the run is done."""
    workdirs.require_own(workdir, text)
    return run_files.is_finished(workdir)


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
    os.environ["TF_CONFIG"] = clusters.tf_config(addresses, index)
    return len(addresses)


@contextlib.contextmanager
def _quiet_start():
    """Keep the start-up lines of TensorFlow's C++ off stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
