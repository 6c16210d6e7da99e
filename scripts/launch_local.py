r"""Train in several processes of this machine, and restart them when one dies.

    python scripts/launch_local.py --workers 2 -- \
        tasks/digits_mlp methods/rigl hardware/multi_worker SPARSITY=0.9 \
        --workdir=runs/two

Everything after `--` goes to `rigl_tf train`. When a process dies, all are
started again and go on from the last checkpoint. SIGTERM and SIGINT are passed
on: the processes save, and all end with 130.
"""

import argparse
import signal
import socket
import subprocess
import sys
import time

# How long the others may take to notice that one has died [s].
_PATIENCE = 20
_COMMAND = [sys.executable, "-m", "rigl_tf", "train"]


class Launcher:
    """Run workers until they are done, or should not be started again.

    Args:
        words: arguments of `rigl_tf train`.
        n_workers: number of processes.
        n_restarts: how often to start them again.
    """

    def __init__(self, words, n_workers, n_restarts):
        self._words = words
        self._n_workers = n_workers
        self._n_restarts = n_restarts
        self._processes = []
        self._signal = None

    def run(self):
        """Run; return the exit code: 0, 2 (mistake), 130 or that of a death."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        for attempt in range(self._n_restarts + 1):
            codes = self._run_once()
            if 2 in codes:
                return 2
            worst = next((code for code in codes if code), 0)
            if worst and self._signal:
                return 130
            # As a shell tells of a death by a signal.
            worst = 128 - worst if worst < 0 else worst
            if worst == 0:
                return 0
            print(
                f"workers ended with {codes} (start {attempt + 1})", flush=True
            )
        return worst

    def _run_once(self):
        """Start all, wait until all have ended; return their exit codes."""
        addresses = ",".join(f"127.0.0.1:{p}" for p in ports(self._n_workers))
        self._processes = [
            subprocess.Popen(
                [
                    *_COMMAND,
                    *self._words,
                    f"--workers={addresses}",
                    f"--worker={index}",
                ],
                # A terminal's Ctrl-C would reach them twice.
                start_new_session=True,
            )
            for index in range(self._n_workers)
        ]
        if self._signal:  # it came between two starts
            self._pass_on(self._signal, None)
        died = None
        while any(process.poll() is None for process in self._processes):
            codes = [process.poll() for process in self._processes]
            if died is None and any(codes):
                died = time.monotonic()
            if died is not None and time.monotonic() > died + _PATIENCE:
                for process in self._processes:
                    process.kill()
            time.sleep(0.1)
        return [process.returncode for process in self._processes]

    def _pass_on(self, number, frame):
        del frame
        self._signal = number
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def ports(count):
    """Return free ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main():
    """Parse, launch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--restarts", type=int, default=10, metavar="N")
    parser.add_argument("words", nargs="+", metavar="-- WORD")
    arguments = parser.parse_args()
    if arguments.workers < 1 or arguments.restarts < 0:
        parser.error("--workers must be at least 1, --restarts at least 0")
    launcher = Launcher(arguments.words, arguments.workers, arguments.restarts)
    return launcher.run()


if __name__ == "__main__":
    sys.exit(main())
