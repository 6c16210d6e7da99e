"""One piece of work of one candidate, in a process of its own.

`peers.py` starts this with the Python of the candidate and the settings as
JSON; the last line of the output is the result, as JSON. It needs numpy and
what the candidate needs, and nothing of rigl_tf.
"""

import contextlib
import importlib
import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time
import traceback

import numpy as np

# Candidate -> its module, which has a class for it in `PEERS`.
MODULES = {
    "rigl_tf": "with_rigl_tf",
    "rigl_tf_fit": "with_rigl_tf",
    "rigl_tf_pruning": "with_rigl_tf",
    "tfmot": "with_tfmot",
    "rigl_torch": "with_torch",
    "rigl_torch_erk": "with_torch",
    "itop": "with_torch",
    "jaxpruner": "with_jaxpruner",
}


def train(peer, settings):
    """Train LeNet-300-100 on MNIST; time it, then test it."""
    with np.load(settings["data"]) as data:
        x, y, x_test, y_test = (
            data[name] for name in ("x", "y", "x_test", "y_test")
        )
    cpu, wall = time.process_time(), time.perf_counter()
    predict, kernels = peer.train(x, y)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    kept = [np.count_nonzero(kernel) for kernel in kernels()]
    sizes = [kernel.size for kernel in kernels()]
    return {
        "train_cpu_s": cpu,
        "train_wall_s": wall,
        "accuracy": float(np.mean(predict(x_test) == y_test)),
        "kept": [int(count) for count in kept],
        "sparsity": 1 - float(sum(kept)) / sum(sizes),
    }


def step(peer, settings):
    """Time masked and dense steps of ResNet-18 in turn."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(settings["images"], 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, settings["images"])
    candidates = dict(zip(("dense", "masked"), peer.steps(x, y)))
    times = {name: [] for name in candidates}
    for _ in range(2):  # trace, allocate, settle
        for run in candidates.values():
            run()
    for index in range(settings["rounds"]):
        for name in sorted(candidates, reverse=bool(index % 2)):
            times[name].append(seconds(candidates[name]))
    dense, masked = (statistics.median(times[n]) for n in candidates)
    return {
        "dense_step_s": dense,
        "masked_step_s": masked,
        "masked_over_dense": masked / dense,
    }


def update(peer, settings):
    """Time updates of the masks of ResNet-50's kernels."""
    run = peer.update()
    run()  # trace, allocate
    times = []
    while len(times) < settings["updates"] and sum(times) < 60:
        times.append(seconds(run))
    return {"update_s": statistics.median(times)}


WORKS = {work.__name__: work for work in (train, step, update)}


def seconds(run):
    """Return the wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def revision(path):
    """Say which commit a library is, if it is a clone; it has no version."""
    command = ["git", "-C", path or "", "rev-parse", "--short", "HEAD"]
    if not path or not pathlib.Path(path, ".git").exists():
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return f", commit {done.stdout.strip()}" if done.stdout else ""


def peak_mb():
    """Return the largest memory of this process so far, in MB."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        # `ru_maxrss` of a child starts from the peak of its parent.
        text = status.read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s*(\d+) kB", text)[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main():
    """Do what the settings say; print the result, or the error, as JSON."""
    settings = json.loads(sys.argv[1])
    if settings["path"]:
        sys.path.insert(0, settings["path"])
    try:
        # Some libraries report every update on the standard output.
        with contextlib.redirect_stdout(sys.stderr):
            module = importlib.import_module(MODULES[settings["peer"]])
            peer = module.PEERS[settings["peer"]](settings)
            result = WORKS[settings["work"]](peer, settings)
        result["version"] = peer.version() + revision(settings["path"])
        result["method"] = peer.method
        result["distribution"] = peer.distribution
    except Exception as error:
        traceback.print_exc()
        first = (str(error).strip() or "no message").splitlines()[0]
        result = {"error": f"{type(error).__name__}: {first}"}
    used = resource.getrusage(resource.RUSAGE_SELF)
    result["process_cpu_s"] = used.ru_utime + used.ru_stime
    result["peak_mb"] = peak_mb()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
