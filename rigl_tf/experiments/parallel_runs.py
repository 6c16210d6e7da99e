"""Train the runs of a sweep, one after the other or several at a time.

No TensorFlow is imported here.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import gc
import os
import pathlib
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

# Words and work directory of each run, as `sweep_file.resolve` returns them.
_Runs = Sequence[tuple[Sequence[str], pathlib.Path]]
_COMMAND = (sys.executable, "-m", "rigl_tf", "train")
_STATES = {
    0: "done",
    130: "interrupted",
    work_directory.HELD: "skipped for now, another process is training it",
}


def run_all(runs: _Runs, n_jobs: int, imports: Sequence[str] = ()) -> int:
    """Train several runs at a time, each in its own process.

    A run waits for the runs that it begins with. Runs that need an unfinished
    run are left out, and so are runs that another process is training. Cores
    and GPUs are shared, see `process_environments.shared`.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
        n_jobs: number of runs at a time, at least 1.
        imports: modules that every run imports.

    Returns:
        The exit code: 0 if all runs are done or left to other processes, 130 if
        a signal stopped the sweep, otherwise the exit code of the first run
        that failed, or 1 if that was killed.
    """
    queue = run_queue.Queue(runs)
    failed: list[int] = []
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
            time.sleep(0.1)  # no call waits for the first of several to end
    left_out = queue.left_out()
    if processes.stopped:
        return 130 if left_out or failed else 0
    for line in left_out:
        print(line)
    return max(failed[0], 1) if failed else 0


def show(runs: _Runs) -> None:
    """Print the words of runs in the order of training; train none."""
    queue = run_queue.Queue(runs)
    while (run := queue.take()) is not None:
        print(run.title, *run.words)
        queue.done(run)


def run_in_turn(
    runs: _Runs,
    imports: Sequence[str],
    train: Callable[[config.Config, pathlib.Path], bool],
) -> None:
    """Train runs one after the other, in this process.

    A run that another process is training is tried once more at the end, and
    then left out, with the runs that need it.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
        imports: modules that every run imports.
        train: function that trains one run in its work directory, and returns
            whether a request to stop came.

    Raises:
        exit_codes.Interrupted: if a request to stop came before the last run.
    """
    queue, stopped = run_queue.Queue(runs), False
    with exit_codes.stop_at_once():
        while (run := queue.take()) is not None:
            if stopped:
                raise exit_codes.Interrupted(
                    f"stopped before run {run.title}; run the same command "
                    "again to resume"
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
            gc.collect()  # graphs are reference cycles that keep the data
    for line in queue.left_out():
        print(line)


class _Processes:
    """Training processes, at most `n_jobs` at a time.

    Attributes:
        running: `(run, process, environment)` of each process.
        stopped: whether a signal came; no more processes are started then.

    Args:
        n_jobs: number of processes at a time.
    """

    def __init__(self, n_jobs: int):
        self.running: list[
            tuple[run_queue.Run, subprocess.Popen[bytes], dict[str, str]]
        ] = []
        self.stopped = False
        self._free = process_environments.shared(n_jobs, dict(os.environ))

    def take_more(self) -> bool:
        """Return whether another process can be started."""
        return bool(self._free) and not self.stopped

    def start(self, run: run_queue.Run, arguments: Sequence[str]) -> None:
        """Start the process of a run."""
        environment = self._free.pop(0)
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            # Otherwise Ctrl-C would reach the process twice.
            start_new_session=True,
        )
        self.running.append((run, process, environment))
        if self.stopped:  # by a signal in the meantime
            process.send_signal(signal.SIGTERM)

    def stop(self, number: int) -> None:
        """Send a signal to all processes, and start no more."""
        self.stopped = True
        # SIGHUP reached this process only; training handles SIGTERM.
        number = signal.SIGTERM if number == signal.SIGHUP else number
        for _, process, _ in self.running:
            process.send_signal(number)

    def ended(self) -> list[tuple[run_queue.Run, int]]:
        """Return `(run, exit code)` of the processes that ended since."""
        codes = [(entry, entry[1].poll()) for entry in self.running]
        self.running = [entry for entry, code in codes if code is None]
        ended = [(entry, code) for entry, code in codes if code is not None]
        self._free += [environment for (_, _, environment), _ in ended]
        return [(run, code) for (run, _, _), code in ended]


@contextlib.contextmanager
def _processes(n_jobs: int) -> Iterator[_Processes]:
    """Yield `_Processes`, and stop those that are running after an error."""
    processes = _Processes(n_jobs)
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # set by nohup
        numbers.append(signal.SIGHUP)
    with signals.handled(processes.stop, *numbers):
        try:
            yield processes
        finally:
            if processes.running:
                processes.stop(signal.SIGTERM)
            for _, process, _ in processes.running:
                process.wait()
