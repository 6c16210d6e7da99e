"""One run of the command line: build it, claim its directory, train."""

import contextlib
import os
import sys
import tempfile

from rigl_tf import run_files
from rigl_tf.experiments import config
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import terminal
from rigl_tf.experiments import work_directory


def experiment(settings):
    """Import TensorFlow, parse, and build the `Experiment`.

    Args:
        settings: `config.Config`.

    Raises:
        config.ConfigError: what gin finds wrong.
    """
    with quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs, aloud
        configured = config.parse(settings)
        try:
            return configured()
        except RecursionError as error:  # circles by way of scopes
            raise config.ConfigError(
                "Configuration error: values that need each other without end"
            ) from error


def run(settings, workdir, n_workers=1):
    """Train what the settings say; a finished run is only announced.

    Args:
        settings: `config.Config`.
        workdir: path of the work directory.
        n_workers: how many processes the flags speak of.

    Returns:
        whether a request to stop came, after the last step.
    """
    with exit_codes.mistakes():
        job = experiment(settings)
        text = config.resolved()
    with exit_codes.of_training(), contextlib.ExitStack() as stack:
        with exit_codes.mistakes():
            everyone = job.hardware.workers()
            _require_same(everyone, settings, n_workers)
            if everyone.from_chief(lambda: _is_finished(workdir, text)):
                return False
            built = job.build()
            knobs = job.start.named(config.settings())
            # Another process may have finished it in the meantime.
            if everyone.from_chief(lambda: _claim(stack, workdir, text)):
                return False
        should_stop = stack.enter_context(exit_codes.stop_requests())
        result = job.train_and_evaluate(workdir, built, should_stop, knobs)
    if everyone.is_chief:
        terminal.print_closing_table(result, workdir)
    return should_stop()


def load_file_systems():
    """Import TensorFlow, which reads URLs, before a path asks for it aloud."""
    with quiet_start():
        import tensorflow as tf

        tf.io.gfile.get_registered_schemes()


@contextlib.contextmanager
def quiet_start():
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
    """Hold the directory until the stack is closed; say if the run is done."""
    is_new = not workdir.exists()
    stack.enter_context(work_directory.claim(workdir, text))
    if is_new:
        stack.callback(_remove_untrained, workdir)
    return _is_finished(workdir, text)


def _remove_untrained(workdir):
    """Remove a new work directory in which no step was made.

    Its settings are those of a run that cannot begin; other settings may take
    its place.
    """
    if not workdir.exists():
        return
    names = {path.name for path in workdir.iterdir()}
    if names <= {run_files.CONFIG, run_files.LOCK}:
        for name in names:
            (workdir / name).unlink()
        workdir.rmdir()


def _is_finished(workdir, text):
    """Require an own or new work directory; say whether the run is done."""
    work_directory.require_own(workdir, text)
    finished = run_files.is_finished(workdir)
    if finished:
        print(f"{workdir} holds this run, finished: nothing to do")
    return finished
