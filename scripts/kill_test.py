"""Kill training runs at random moments; check that they end with equal bits.

An unkilled run is the reference. Then runs with the same words are killed by
SIGKILL, several times each, started again with the same words, and in the end
compared with the reference: every weight, mask, slot and metric (times and
rates exempt).

    python scripts/kill_test.py --kills 50
    python scripts/kill_test.py --workers 2 --kills 20
    python scripts/kill_test.py --kills 20 COMPUTE=sparse

With workers, scripts/launch_local.py starts and restarts them; by turns one of
them is killed, all of them, and the chief while it writes a checkpoint.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from rigl_tf import files

# A checkpoint every few steps, so that many kills hit one being written.
WORDS = [
    "tasks/digits_mlp",
    "methods/rigl",
    "SPARSITY=0.98",
    "TRAIN_STEPS=1500",
    "UPDATE_END_STEP=1200",
    "CHECKPOINT_INTERVAL=10",
    "LOG_INTERVAL=15",
    "RECORD_MASKS=True",
]
EXEMPT = ("wall_seconds", "seconds", "examples_per_second", "file_bytes")
KINDS = ("one", "all", "chief writing")
_LAUNCHER = pathlib.Path(__file__).with_name("launch_local.py")


def start(workdir, words, n_workers=1):
    """Start a run in the background."""
    command = [sys.executable, "-m", "rigl_tf", "train"]
    if n_workers > 1:
        command = [sys.executable, str(_LAUNCHER), f"--workers={n_workers}"]
        command += ["--restarts=1000", "--", "hardware/multi_worker"]
    return subprocess.Popen(
        [*command, *words, f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(workdir, words, n_workers=1):
    """Run to the end; raise if that fails."""
    require_success(start(workdir, words, n_workers))


def require_success(process):
    """Wait for the end of a run; raise if it failed."""
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {errors}")


def kill_once(workdir, words, rng, duration):
    """Start a run and kill it; say whether it was still running then.

    The moment is drawn from the time after the first checkpoint of this start
    was seen, or 2 minutes later at the latest.
    """
    before = newest_write(workdir)
    process = start(workdir, words)
    wait_for_moment(workdir, process, before, rng, duration)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def wait_for_moment(workdir, process, before, rng, duration):
    """Wait until a checkpoint was written after `before`, then some more."""
    deadline = time.monotonic() + 120
    while process.poll() is None and newest_write(workdir) == before:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)  # poll for the first checkpoint of this start
    try:
        process.wait(timeout=rng.uniform(0, duration))
    except subprocess.TimeoutExpired:
        return


def kill_workers(workdir, words, rng, duration, n_kills, n_workers):
    """Run to the end under the launcher, killing workers on the way.

    Returns:
        list of the kinds of kill that were carried out.
    """
    done, before = [], 0
    process = start(workdir, words, n_workers)
    for number in range(n_kills):
        wait_for_moment(workdir, process, before, rng, duration)
        workers = children(process.pid)
        kind = KINDS[number % len(KINDS)]
        if kind == "chief writing":
            wait_for_write(workdir, process)
        targets = {
            "one": [rng.randrange(n_workers)],
            "all": range(n_workers),
            "chief writing": [0],
        }[kind]
        if process.poll() is not None or len(workers) != n_workers:
            break
        for index in targets:
            os.kill(workers[index], signal.SIGKILL)
        before = newest_write(workdir)
        done.append(kind)
        while process.poll() is None and set(children(process.pid)) & {
            workers[index] for index in targets
        }:
            time.sleep(0.02)  # poll until the launcher has buried them
    require_success(process)
    return done


def wait_for_write(workdir, process):
    """Wait until a checkpoint is being written."""
    directory = pathlib.Path(workdir) / "checkpoints"
    while process.poll() is None:
        if any(directory.glob(f"{files.TEMPORARY}*")):
            return


def children(pid):
    """List the processes that a process has started, in order."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(
            encoding="utf-8"
        )
    except FileNotFoundError:  # it has ended
        return []
    return sorted(map(int, text.split()))


def newest_write(workdir):
    """Return when a checkpoint was last written, or 0."""
    files = pathlib.Path(workdir).glob("checkpoints/*")
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime_ns)
        except FileNotFoundError:  # deleted or renamed meanwhile
            continue
    return max(times, default=0)


def differences(reference, other):
    """List what differs between two finished runs."""
    found = []
    for name in ("result.json", "metrics.jsonl"):
        a, b = (_records(path / name) for path in (reference, other))
        if a != b:
            found.append(name)
    archives = [
        sorted(
            path.relative_to(reference) for path in reference.rglob("*.npz")
        ),
        sorted(path.relative_to(other) for path in other.rglob("*.npz")),
    ]
    if archives[0] != archives[1]:
        found.append(f"files {set(archives[0]) ^ set(archives[1])}")
    for name in set(archives[0]) & set(archives[1]):
        with np.load(reference / name) as a, np.load(other / name) as b:
            if a.files != b.files:
                found.append(f"{name}: entries")
            found += [
                f"{name}: {entry}"
                for entry in set(a.files) & set(b.files)
                if a[entry].tobytes() != b[entry].tobytes()
            ]
    return found


def _records(path):
    text = path.read_text(encoding="utf-8")
    records = [json.loads(text)] if path.suffix == ".json" else []
    if not records:
        records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        for name in EXEMPT:
            record.pop(name, None)
    return records


def run(n_kills, words, seed, kills_per_run=5, n_workers=1):
    """Kill `n_kills` times; return the differences found in the end.

    Returns:
        `(kills, runs, differences)`; kills by kind, with several workers.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        finish(root / "reference", words, n_workers)
        duration = _seconds(root / "reference") / 2
        kills, n_runs, found = collections.Counter(), 0, []
        while kills.total() < n_kills:
            workdir = root / f"killed{n_runs}"
            n_runs += 1
            n_left = min(kills_per_run, n_kills - kills.total())
            if n_workers > 1:
                kills.update(
                    kill_workers(
                        workdir, words, rng, duration, n_left, n_workers
                    )
                )
            else:
                for _ in range(n_left):
                    if not kill_once(workdir, words, rng, duration):
                        break  # it ended before the kill
                    kills["one"] += 1
                finish(workdir, words)
            differing = differences(root / "reference", workdir)
            found += differing
            print(
                f"{kills.total()} kills, run {n_runs}: "
                f"{', '.join(differing) or 'equal'}",
                flush=True,
            )
    return kills, n_runs, found


def _seconds(workdir):
    last = (
        (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    )
    return json.loads(last)["wall_seconds"]


def main():
    """Kill, compare, print the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="more words of the runs")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    kills, n_runs, found = run(
        arguments.kills,
        [*WORDS, *arguments.words],
        arguments.seed,
        n_workers=arguments.workers,
    )
    state = "all equal to the unkilled run" if not found else "DIFFERENT"
    kinds = ", ".join(f"{kind}: {count}" for kind, count in kills.items())
    print(f"{kills.total()} kills ({kinds}) over {n_runs} runs: {state}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
