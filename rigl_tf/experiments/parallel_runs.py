"""Train the runs of a sweep: in turn, or several processes at a time.

No TensorFlow is imported here.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time

from rigl_tf.experiments import config
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import process_environments
from rigl_tf.experiments import run_queue
from rigl_tf.experiments import signals
from rigl_tf.experiments import work_directory

_COMMAND = (sys.executable, "-m", "rigl_tf", "train")
_STATES = {
    0: "done",
    130: "interrupted",
    work_directory.HELD: "skipped for now, another process is training it",
}


def run_all(runs, n_jobs, imports=()):
    """Train runs, some at a time; one that needs another's result waits for it.

    The runs share cores and GPUs, see `process_environments.shared`.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
        n_jobs: how many at a time, at least 1.
        imports: modules that every run imports.

    Returns:
        exit code: 0 if all runs are done; 130 if a signal left some undone;
        else that of the first one that failed, 1 if it was killed. Runs that
        need the result of an unfinished one are left out, and so are those
        that another process is training.
    """
    queue, failed = run_queue.Queue(runs), []
    flags = [f"--import={module}" for module in imports]
    with _processes(n_jobs) as processes:
        while True:
            while processes.take_more():
                run = queue.take(idle=not processes.running)
                if run is None:
                    break
                print(run.title, *run.words)
                arguments = [*run.words, f"--workdir={run.workdir}", *flags]
                processes.start(run, arguments)
            if not processes.running:
                break
            for run, code in processes.ended():
                if code == 0:
                    queue.done(run)
                elif code == work_directory.HELD:
                    queue.hold(run)
                else:
                    failed.append(code)
                state = _STATES.get(code, "FAILED")
                print(f"{run.title} {state}: {run.workdir}", flush=True)
            time.sleep(0.1)  # there is no waiting for whichever ends first
    left_out = queue.left_out()
    if processes.stopped:
        return 130 if left_out or failed else 0
    for line in left_out:
        print(line)
    return max(failed[0], 1) if failed else 0


def show(runs):
    """Print the words of runs, without training any."""
    queue = run_queue.Queue(runs)
    while (run := queue.take()) is not None:
        print(run.title, *run.words)
        queue.done(run)


def run_in_turn(runs, imports, train):
    """Train runs one after the other, in this process.

    Those that another process is training are tried once more in the end, and
    then left to it, with those that need them.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
        imports: modules that every run imports.
        train: function `(config.Config, work directory) -> bool`: whether a
            request to stop came.

    Raises:
        exit_codes.Interrupted: a request to stop came, and runs are left.
    """
    queue, stopped = run_queue.Queue(runs), False
    with exit_codes.stop_at_once():
        while (run := queue.take()) is not None:
            if stopped:
                raise exit_codes.Interrupted(
                    f"stopped before run {run.title}; the same words go on"
                )
            print(run.title, *run.words)
            try:
                stopped = train(config.read(run.words, imports), run.workdir)
                queue.done(run)
            except exit_codes.Held:
                print(
                    f"{run.title} {_STATES[work_directory.HELD]}: {run.workdir}"
                )
                queue.hold(run)
            gc.collect()  # graphs are cycles that hold on to the data
    for line in queue.left_out():
        print(line)


class _Processes:
    """Processes that train, a few at a time.

    Args:
        n_jobs: how many.
    """

    def __init__(self, n_jobs):
        self.running = []
        self.stopped = False
        self._free = process_environments.shared(n_jobs, dict(os.environ))

    def take_more(self):
        """Say whether another one may start."""
        return bool(self._free) and not self.stopped

    def start(self, item, arguments):
        """Start one; `item` is what `ended` calls it."""
        environment = self._free.pop(0)
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            # A terminal's Ctrl-C would reach them twice.
            start_new_session=True,
        )
        self.running.append((item, process, environment))
        if self.stopped:  # meanwhile
            process.send_signal(signal.SIGTERM)

    def stop(self, number):
        """Pass a signal on; no more are started."""
        self.stopped = True
        # What a closed terminal means, they were not told.
        number = signal.SIGTERM if number == signal.SIGHUP else number
        for _, process, _ in self.running:
            process.send_signal(number)

    def ended(self):
        """List those that have ended since, `(item, exit code)`."""
        codes = [(entry, entry[1].poll()) for entry in self.running]
        self.running = [entry for entry, code in codes if code is None]
        ended = [(entry, code) for entry, code in codes if code is not None]
        self._free += [environment for (_, _, environment), _ in ended]
        return [(item, code) for (item, _, _), code in ended]


@contextlib.contextmanager
def _processes(n_jobs):
    """Yield `_Processes`; on the way out by an error, stop them."""
    processes = _Processes(n_jobs)
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup does
        numbers.append(signal.SIGHUP)
    with signals.handled(processes.stop, *numbers):
        try:
            yield processes
        finally:
            if processes.running:
                processes.stop(signal.SIGTERM)
            for _, process, _ in processes.running:
                process.wait()
