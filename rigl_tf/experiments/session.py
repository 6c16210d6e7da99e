"""Run one experiment from the command line: build, lock, train, print."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
import pathlib
import sys
import tempfile
from typing import TYPE_CHECKING
from typing import Any

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import config
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import terminal
from rigl_tf.experiments import work_directory

if TYPE_CHECKING:  # these import TensorFlow, which takes seconds
    from rigl_tf.experiments import runs
    from rigl_tf.experiments.experiment import Experiment
    from rigl_tf.training.hardware import workers


def build_experiment(configuration: config.Config) -> "Experiment":
    """Import TensorFlow, and build the experiment of a configuration.

    Args:
        configuration: the checked words of the command line.

    Raises:
        config.ConfigError: if gin finds a mistake.
    """
    with quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()  # the search for GPUs prints lines
        configured = config.parse(configuration)
        try:
            return configured()
        except RecursionError as error:  # cycles by way of scopes
            raise config.ConfigError(
                "Configuration error: values need each other in a cycle"
            ) from error


def experiment_of(
    workdir: str, words: Sequence[str], imports: Sequence[str]
) -> "Experiment":
    """Build the experiment of a work directory again.

    Args:
        workdir: the directory, as the command line names it.
        words: further words, such as "STRATEGY=None".
        imports: modules to import.

    Raises:
        FileNotFoundError: it is not the directory of a run.
    """
    written = files.path(workdir) / run_files.CONFIG
    if files.is_local(written):
        written = written.absolute()  # or else "a=b" would be a setting
    if not written.exists():
        raise FileNotFoundError(
            "`--workdir` must be the directory of a run. Received: "
            f"{workdir!r}, which has no {run_files.CONFIG}"
        )
    return build_experiment(config.read([str(written), *words], imports))


def run(
    configuration: config.Config, workdir: pathlib.Path, n_workers: int = 1
) -> bool:
    """Train an experiment, unless its work directory has the result already.

    Args:
        configuration: the checked words of the command line.
        workdir: path of the work directory.
        n_workers: number of processes that `--workers` names.

    Returns:
        Whether a request to stop came after the last step.
    """
    with exit_codes.mistakes():
        experiment = build_experiment(configuration)
        config_text = config.resolved()
    with exit_codes.of_training(), contextlib.ExitStack() as locks:
        with exit_codes.mistakes():
            workers = experiment.hardware.workers()
            _require_same_words(workers, configuration, n_workers)
            if workers.from_chief(lambda: _is_finished(workdir, config_text)):
                return False
            ready, settings = _build_run(experiment)
            # Another process may have finished the run in the meantime.
            if workers.from_chief(lambda: _claim(locks, workdir, config_text)):
                return False
        should_stop = locks.enter_context(exit_codes.stop_requests())
        result = ready.train(workdir, should_stop, settings)
    if workers.is_chief:
        terminal.print_closing_table(result, workdir)
    return should_stop()


def load_file_systems() -> None:
    """Import TensorFlow, which reads URLs, without its start-up lines."""
    with quiet_start():
        import tensorflow as tf

        tf.io.gfile.get_registered_schemes()


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Hide the start-up lines that TensorFlow's C++ code writes to stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules:
        yield
        return
    with quiet():
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide all that is written to stderr, by C++ code too."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _build_run(experiment: "Experiment") -> "tuple[runs.Run, dict[str, Any]]":
    """Return the run and its settings, which gin knows once it is built."""
    from rigl_tf.experiments import runs

    ready = runs.Run(experiment)
    return ready, experiment.start.named(config.settings())


def _require_same_words(
    workers: "workers.Workers", configuration: config.Config, n_workers: int
) -> None:
    """Raise ValueError unless all workers train the same experiment."""
    if n_workers > workers.count:
        raise ValueError(
            f"`--workers` is for hardware/multi_worker. Received: {n_workers} "
            "workers without this word"
        )
    own = (configuration.words, configuration.imports)
    differ = workers.from_chief(lambda: own) != own
    differing, _ = workers.agree(differ, 0)
    if differing:
        raise ValueError(
            "All workers must be given the same words. Received: other words "
            f"than those of the chief{' here' if differ else ' elsewhere'}"
        )


def _claim(
    locks: contextlib.ExitStack, workdir: pathlib.Path, config_text: str
) -> bool:
    """Lock the directory until `locks` closes; return whether it is finished.

    Closing removes a new directory in which no step was made.
    """
    is_new = not workdir.exists()
    locks.enter_context(work_directory.claim(workdir, config_text))
    if is_new:
        locks.callback(_remove_untrained, workdir)
    return _is_finished(workdir, config_text)


def _remove_untrained(workdir: pathlib.Path) -> None:
    """Remove a work directory without any step, so that others can use it."""
    if not workdir.exists():
        return
    names = {path.name for path in workdir.iterdir()}
    if names <= {run_files.CONFIG, run_files.LOCK}:
        for name in names:
            (workdir / name).unlink()
        workdir.rmdir()


def _is_finished(workdir: pathlib.Path, config_text: str) -> bool:
    """Return whether the directory has the result of the run, and print so.

    Raises:
        work_directory.WorkdirError: if it belongs to another run.
    """
    work_directory.require_own(workdir, config_text)
    finished = run_files.is_finished(workdir)
    if finished:
        print(f"{workdir} holds this run, finished: nothing to do")
    return finished
