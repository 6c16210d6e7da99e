"""The commands of the command line: parsed flags -> one library call.

TensorFlow is imported as late as possible, so that mistakes are told at once.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import zipfile

from rigl_tf import cards
from rigl_tf import checks
from rigl_tf import clusters
from rigl_tf import config
from rigl_tf import files
from rigl_tf import jobs
from rigl_tf import report_formats
from rigl_tf import results
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
_MISTAKES = (ValueError, TypeError, OSError, ImportError)


class UserMistake(Exception):
    """Something that the user can cure."""


class Interrupted(Exception):
    """A run that was stopped and can go on."""


def train(arguments):
    """Train and evaluate one model."""
    words = arguments.words
    with _mistakes():
        settings = config.read(words, arguments.imports)
        _join_workers(arguments.workers, arguments.worker)
        workdir = arguments.workdir or f"runs/{sweeps.run_name(words)}"
        workdir = files.path(workdir)
    _run(settings, workdir)
    return 0


def prepare(arguments):
    """Download and prepare a data set, or check it."""
    with _mistakes():
        with _quiet_start():
            from rigl_tf.datasets import prepared
        found = prepared.prepare(arguments.name, arguments.data_dir)
    counts = ", ".join(f"{n} {count:,}" for n, count in found["splits"].items())
    print(f"{found['name']}: {counts} examples in {found['directory']}")
    return 0


def sweep(arguments):
    """Train every line of a file."""
    with _mistakes():
        checks.at_least("--jobs", arguments.jobs, 1, integer=True)
        runs = sweeps.resolve(
            sweeps.read(arguments.name, arguments.words), arguments.workdir
        )
        settings = [config.read(words, arguments.imports) for words, _ in runs]
    if arguments.jobs > 1 and not arguments.dry_run:
        return jobs.run_all(runs, arguments.jobs, arguments.imports)
    for number, (words, workdir) in enumerate(runs, start=1):
        print(f"[{number}/{len(runs)}] {' '.join(words)}")
        if not arguments.dry_run:
            _run(settings[number - 1], workdir)
    return 0


def report(arguments):
    """Tabulate finished runs."""
    with _mistakes():
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
    with _mistakes():
        if arguments.name is None:
            print(cards.markdown())
        else:
            card = cards.find(arguments.name)
            print(f"methods/{card.name}: {card.summary}.")
            print(f"\n{card.text or 'Dense training, without a mask updater.'}")
    return 0


def count(arguments):
    """Count operations, parameters and bytes."""
    with _mistakes():
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
    with _mistakes():
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
    with _mistakes():
        workdir = files.path(arguments.workdir)
        written = workdir / "config.gin"
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


def summary(arguments):
    """Show what a run has come to."""
    with _mistakes():
        results.print_summary(arguments.workdir)
    return 0


def connectivity(arguments):
    """Draw the input layer's connections."""
    with _mistakes():
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


def _run(settings, workdir):
    """Train what the settings say; a finished run is only announced."""
    with _mistakes():
        experiment = _experiment(settings)
        text = config.resolved()
        everyone = experiment.hardware.workers()
    with _failures():
        if everyone.from_chief(lambda: _is_finished(workdir, text)):
            if everyone.is_chief:
                print(f"{workdir} holds this run, finished: nothing to do")
            return
    with _mistakes():
        built = experiment.build()
        claim = contextlib.nullcontext()
        if everyone.is_chief:
            claim = workdirs.claim(workdir, text)
    with _failures(), claim, _stop_requests() as should_stop:
        result = experiment.train_and_evaluate(workdir, built, should_stop)
    if everyone.is_chief:
        results.print_closing_table(result, workdir)


def _is_finished(workdir, text):
    """Require an own or new work directory; say whether the run is done."""
    workdirs.require_own(workdir, text)
    return (workdir / "result.json").exists()


def _join_workers(addresses, index):
    """Turn --workers and --worker into `TF_CONFIG`."""
    if addresses is None and index is None:
        return
    if addresses is None or index is None:
        raise ValueError(
            "`--workers` and `--worker` go together. Received: "
            f"--workers={addresses}, --worker={index}"
        )
    os.environ["TF_CONFIG"] = clusters.tf_config(addresses.split(","), index)


@contextlib.contextmanager
def _stop_requests():
    """Turn the first SIGTERM or SIGINT into a request to stop."""
    received = []

    def request(signum, frame):
        del frame
        if received:
            raise KeyboardInterrupt
        received.append(signum)

    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, request) for number in signals]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)


@contextlib.contextmanager
def _failures():
    """Turn what can go wrong in training, with the user's help, into a line."""
    import tensorflow as tf

    from rigl_tf import checkpoints
    from rigl_tf import runs
    from rigl_tf import workers

    try:
        yield
    except runs.Interrupted as interrupted:
        raise Interrupted(str(interrupted)) from interrupted
    except (workers.LostWorker, *workers.SIGNS_OF_LOSS) as error:
        raise Interrupted(
            "lost another worker, or files; started again, all go on from "
            f"the last checkpoint ({config.one_line(error)[:200]})"
        ) from error
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        if "GetNext" not in str(error):
            raise
        raise UserMistake(
            "the data cannot be read: a damaged record or image (ImageNet "
            f"takes on_damage='skip'): {config.one_line(error)[:300]}"
        ) from error
    except (
        checkpoints.CheckpointError,
        workdirs.WorkdirError,
        FloatingPointError,
        OSError,
    ) as error:
        raise UserMistake(config.one_line(error)) from error


@contextlib.contextmanager
def _mistakes():
    """Turn the errors that users can cure into one line."""
    try:
        yield
    except _MISTAKES as error:
        if os.environ.get("RIGL_TF_TRACEBACK"):
            raise
        raise UserMistake(config.one_line(error)) from error


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
