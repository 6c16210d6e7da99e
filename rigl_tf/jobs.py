"""Several runs at a time, each in a process of its own. No TensorFlow here."""

import os
import signal
import subprocess
import sys
import time

from rigl_tf import signals

_COMMAND = (sys.executable, "-m", "rigl_tf", "train")


def run_all(runs, n_jobs, imports=()):
    """Train runs, some at a time; one that needs another's result waits for it.

    The runs share the cores evenly, unless TF_NUM_INTRAOP_THREADS is set: by
    itself TensorFlow takes all of them in every process.

    Args:
        runs: list of `(words, work directory)`, as `sweeps.resolve` returns it.
        n_jobs: how many at a time, at least 1.
        imports: modules that every run imports.

    Returns:
        exit code: 0, or the first one of a run that failed. Runs that need its
        result are left out; after SIGTERM or SIGINT no more are started.
    """
    waiting = list(enumerate(runs, start=1))
    running, unfinished, code = {}, {str(d.resolve()) for _, d in runs}, 0
    stopped = []

    def pass_on(number):
        stopped.append(number)
        for process, _ in running.values():
            process.send_signal(number)

    with signals.handled(pass_on, signal.SIGTERM, signal.SIGINT):
        while running or (waiting and not stopped):
            for item in list(waiting):
                if len(running) >= n_jobs or stopped:
                    break
                number, (words, workdir) = item
                if not _needs(words) & unfinished:
                    waiting.remove(item)
                    print(f"[{number}/{len(runs)}] {' '.join(words)}")
                    process = _start(words, workdir, imports, n_jobs)
                    running[number] = process, workdir
            if not running:  # the rest needs what has failed
                break
            for number, (process, workdir) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[number]
                code = code or process.returncode
                if process.returncode == 0:
                    unfinished.discard(str(workdir.resolve()))
                state = "done" if process.returncode == 0 else "FAILED"
                print(f"[{number}/{len(runs)}] {state}: {workdir}", flush=True)
            time.sleep(0.1)  # there is no waiting for whichever ends first
    return code


def _start(words, workdir, imports, n_jobs):
    flags = [f"--import={module}" for module in imports]
    n_threads = max(1, (os.cpu_count() or 1) // n_jobs)
    return subprocess.Popen(
        [*_COMMAND, *words, f"--workdir={workdir}", *flags],
        env={"TF_NUM_INTRAOP_THREADS": str(n_threads), **os.environ},
        stdout=subprocess.DEVNULL,
        # A terminal's Ctrl-C would reach them twice.
        start_new_session=True,
    )


def _needs(words):
    """Return the values of settings that may be other runs' directories."""
    return {
        word.partition("=")[2].strip("'")
        for word in words
        if word.startswith("INITIAL_")
    }
