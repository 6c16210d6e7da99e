"""Run LiteRT files on an emulated ARM processor.

`scripts/arm.sh` sets it up. `run` starts this file in its Python, which has
LiteRT and NumPy but not rigl_tf. Seconds are those of the emulation: only their
ratios mean something, and ratios on hardware may be others.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

_DIRECTORY = pathlib.Path(__file__).parents[2] / "build" / "arm"


@dataclasses.dataclass(frozen=True)
class Found:
    """What a file did.

    Attributes:
        outputs: its first output [n, ...] for each of the inputs.
        seconds: least processor time of a call, in emulated seconds.
        error: why LiteRT cannot load or run it; then the others are empty.
    """

    outputs: np.ndarray
    seconds: float
    error: str = ""


def python():
    """Return the path of the emulated Python.

    Raises:
        FileNotFoundError: it is missing, or what it needs is.
    """
    directory = pathlib.Path(os.environ.get("RIGL_TF_ARM", _DIRECTORY))
    if not shutil.which("qemu-aarch64"):
        raise FileNotFoundError(
            "An emulated ARM processor needs qemu-aarch64, which is not in "
            "PATH: apt-get install qemu-user"
        )
    if not (directory / "python").is_file():
        raise FileNotFoundError(
            "`RIGL_TF_ARM` must name the directory that scripts/arm.sh set up "
            f"(by default build/arm). Received: {str(directory)!r}"
        )
    return directory / "python"


def run(places, x, rounds=3):
    """Run LiteRT files for one example at a time, taking turns.

    Args:
        places: paths of the files by names; each has one input.
        x: inputs [n, ...].
        rounds: number of timed calls of each file, after those for `x`.

    Returns:
        A dictionary from names to `Found`.
    """
    with tempfile.TemporaryDirectory() as directory:
        inputs = pathlib.Path(directory) / "x.npy"
        np.save(inputs, x)
        process = subprocess.run(
            [python(), __file__, inputs, str(rounds), *places.values()],
            capture_output=True,
            text=True,
            check=False,
        )
    if process.returncode:
        raise RuntimeError(
            f"The emulated Python ended with {process.returncode}: "
            f"{process.stderr[-2000:]}"
        )
    lines = json.loads(process.stdout.splitlines()[-1])
    return {
        name: Found(np.array(outputs, np.float32), seconds, error)
        for name, (outputs, seconds, error) in zip(places, lines, strict=True)
    }


def _main(inputs, rounds, *places):
    """Print a list of outputs, seconds and error for each file."""
    x = np.load(inputs)
    found = [_first_calls(place, x) for place in places]
    seconds = [[] for _ in places]
    for _ in range(int(rounds)):
        for (call, _, _), times in zip(found, seconds):
            if call is not None:
                began = time.process_time()
                call(x[:1])
                times.append(time.process_time() - began)
    lines = [
        (outputs, min(times, default=0.0), error)
        for (_, outputs, error), times in zip(found, seconds)
    ]
    print(json.dumps(lines))


def _first_calls(place, x):
    """Load a file; return its function, its outputs for `x` and an error."""
    from ai_edge_litert import interpreter

    try:
        loaded = interpreter.Interpreter(place, num_threads=1)
        loaded.allocate_tensors()
        runner = loaded.get_signature_runner()
        (name,) = runner.get_input_details()

        def call(example):
            return next(iter(runner(**{name: example}).values()))

        return call, [call(row[None])[0].tolist() for row in x], ""
    except (RuntimeError, ValueError) as error:
        return None, [], str(error)


if __name__ == "__main__":
    _main(*sys.argv[1:])
