"""Kill training runs at random moments; check that they end with equal bits.

An unkilled run is the reference. Then runs with the same words are killed by
SIGKILL, several times each, started again with the same words, and in the end
compared with the reference: every weight, mask, slot and metric (times and
rates exempt).

    python scripts/kill_test.py --kills 50
"""

import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

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
EXEMPT = ("wall_seconds", "examples_per_second", "file_bytes")


def start(workdir, words):
    """Start a run in the background."""
    command = [sys.executable, "-m", "rigl_tf", "train", *words]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(workdir, words):
    """Run to the end; raise if that fails."""
    process = start(workdir, words)
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
    deadline = time.monotonic() + 120
    while process.poll() is None and newest_write(workdir) == before:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)  # poll for the first checkpoint of this start
    try:
        process.wait(timeout=rng.uniform(0, duration))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


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
    text = path.read_text()
    records = [json.loads(text)] if path.suffix == ".json" else []
    if not records:
        records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        for name in EXEMPT:
            record.pop(name, None)
    return records


def run(n_kills, words, seed, kills_per_run=5):
    """Kill `n_kills` times; return the differences found in the end."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        finish(root / "reference", words)
        duration = _seconds(root / "reference")
        n_done, n_runs, found = 0, 0, []
        while n_done < n_kills:
            workdir = root / f"killed{n_runs}"
            n_runs += 1
            for _ in range(min(kills_per_run, n_kills - n_done)):
                if not kill_once(workdir, words, rng, duration / 2):
                    break  # it ended before the kill
                n_done += 1
            finish(workdir, words)
            differing = differences(root / "reference", workdir)
            found += differing
            print(
                f"{n_done} kills, run {n_runs}: "
                f"{', '.join(differing) or 'equal'}",
                flush=True,
            )
    return n_done, n_runs, found


def _seconds(workdir):
    last = (workdir / "metrics.jsonl").read_text().splitlines()[-1]
    return json.loads(last)["wall_seconds"]


def main():
    """Kill, compare, print the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    n_kills, n_runs, found = run(arguments.kills, WORDS, arguments.seed)
    state = "all equal to the unkilled run" if not found else "DIFFERENT"
    print(f"{n_kills} kills over {n_runs} runs: {state}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
