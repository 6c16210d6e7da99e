"""Several runs at a time, each in a process of its own. No TensorFlow here."""

import ast
import contextlib
import os
import signal
import subprocess
import sys
import time

from rigl_tf import files
from rigl_tf import signals

_COMMAND = (sys.executable, "-m", "rigl_tf", "train")
_STATES = {0: "done", 130: "interrupted"}


def run_all(runs, n_jobs, imports=()):
    """Train runs, some at a time; one that needs another's result waits for it.

    The runs share the cores evenly, unless TF_NUM_INTRAOP_THREADS is set: by
    itself TensorFlow takes all of them in every process.

    Args:
        runs: list of `(words, work directory)`, as `sweeps.resolve` returns it.
        n_jobs: how many at a time, at least 1.
        imports: modules that every run imports.

    Returns:
        exit code: 0 if all runs are done; 130 if a signal left some undone;
        else that of the first one that failed, 1 if it was killed. Runs that
        need the result of a failed one are left out.
    """
    waiting = list(enumerate(runs, start=1))
    unfinished = {str(workdir.resolve()) for _, workdir in runs}
    codes = []
    with _processes(n_jobs) as processes:
        while waiting or processes.running:
            for item in list(waiting):
                number, (words, workdir) = item
                if processes.take_more() and not _needs(words) & unfinished:
                    waiting.remove(item)
                    print(f"[{number}/{len(runs)}] {' '.join(words)}")
                    flags = [f"--import={module}" for module in imports]
                    processes.start(
                        item, [*words, f"--workdir={workdir}", *flags]
                    )
            if not processes.running:  # the rest needs what has failed
                break
            for (number, (_, workdir)), code in processes.ended():
                codes.append(code)
                if code == 0:
                    unfinished.discard(str(workdir.resolve()))
                state = _STATES.get(code, "FAILED")
                print(f"[{number}/{len(runs)}] {state}: {workdir}", flush=True)
            time.sleep(0.1)  # there is no waiting for whichever ends first
    failed = [code for code in codes if code]
    if processes.stopped:
        return 130 if waiting or failed else 0
    return max(failed[0], 1) if failed else 0


class _Processes:
    """Processes that train, a few at a time.

    Args:
        n_jobs: how many.
    """

    def __init__(self, n_jobs):
        self.running = []
        self.stopped = False
        self._n_jobs = n_jobs
        n_threads = max(1, (os.cpu_count() or 1) // n_jobs)
        threads = {"TF_NUM_INTRAOP_THREADS": str(n_threads)}
        self._environment = {**threads, **os.environ}

    def take_more(self):
        """Say whether another one may start."""
        return len(self.running) < self._n_jobs and not self.stopped

    def start(self, item, arguments):
        """Start one; `item` is what `ended` calls it."""
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            # A terminal's Ctrl-C would reach them twice.
            start_new_session=True,
        )
        self.running.append((item, process))
        if self.stopped:  # meanwhile
            process.send_signal(signal.SIGTERM)

    def stop(self, number):
        """Pass a signal on; no more are started."""
        self.stopped = True
        # What a closed terminal means, they were not told.
        number = signal.SIGTERM if number == signal.SIGHUP else number
        for _, process in self.running:
            process.send_signal(number)

    def ended(self):
        """List those that have ended since, `(item, exit code)`."""
        codes = [(pair, pair[1].poll()) for pair in self.running]
        self.running = [pair for pair, code in codes if code is None]
        return [(pair[0], code) for pair, code in codes if code is not None]


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
            for _, process in processes.running:
                process.wait()


def _needs(words):
    """Return the values of settings that may be other runs' directories."""
    return {
        str(files.path(_unquoted(word.partition("=")[2])).resolve())
        for word in words
        if word.startswith("INITIAL_")
    }


def _unquoted(value):
    """Return what a value in gin's notation says, if it is a string."""
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(value)
    return str(value)
