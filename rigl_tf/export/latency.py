"""Measure how fast exported files are, dense and sparse side by side.

Files of one format take turns in one process, so that other load on the machine
reaches all of them. Memory is measured in further processes, one for each file.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import multiprocessing
import pathlib
import resource
import tempfile
import time
from typing import Any

import keras
import numpy as np

from rigl_tf import files
from rigl_tf.export import formats
from rigl_tf.export import runners
from rigl_tf.export import saving
from rigl_tf.layers import copying
from rigl_tf.layers import model_paths

_WARM_UPS = 3
# Below this ratio, "faster" would be noise.
FASTER = 1.1


@dataclasses.dataclass(frozen=True)
class Latency:
    """How fast one file is, for one batch size.

    Attributes:
        format: name of the format.
        weights: "dense" or "sparse".
        batch: examples in a call.
        median_ms: median of the wall times of calls, in milliseconds.
        p95_ms: 95th percentile.
        per_second: examples per second, at the median.
        speedup: median of the dense file over that of this one.
        memory_mb: peak memory of loading and running the file, above that of
            the runtime, in 10^6 bytes.
        file_mb: size of the file, in 10^6 bytes.
    """

    format: str
    weights: str
    batch: int
    median_ms: float
    p95_ms: float
    per_second: float
    speedup: float
    memory_mb: float
    file_mb: float


def measure(
    format: str,
    places: Mapping[str, pathlib.Path],
    inputs: Mapping[str, np.ndarray],
    rounds: int = 31,
    threads: int = 1,
) -> list[Latency]:
    """Time files of one format, taking turns.

    Args:
        format: one of `formats.FORMATS` that can be run.
        places: paths of the files by their kind; "dense" is compared with.
        inputs: inputs [batch, ...] of a call by their names.
        rounds: number of timed calls of each file.
        threads: threads of the runtime.

    Returns:
        One row for each file.
    """
    times = dict(
        zip(
            places,
            _in_process(
                _time_calls,
                format,
                list(places.values()),
                inputs,
                rounds,
                threads,
            ),
            strict=True,
        )
    )
    base = float(np.median(times["dense"]))
    n_examples = len(next(iter(inputs.values())))
    peaks = _peaks(format, places, inputs, threads)
    rows = []
    for name, found in times.items():
        median = float(np.median(found))
        rows.append(
            Latency(
                format=format,
                weights=name,
                batch=n_examples,
                median_ms=1e3 * median,
                p95_ms=1e3 * float(np.percentile(found, 95)),
                per_second=n_examples / median,
                speedup=base / median,
                memory_mb=peaks[name] / 1e6,
                file_mb=files.size(places[name]) / 1e6,
            )
        )
    return rows


def _peaks(
    format: str,
    places: Mapping[str, pathlib.Path],
    inputs: Mapping[str, np.ndarray],
    threads: int,
) -> dict[str, int]:
    """Return the peak memory that each file takes, in bytes."""
    tiny = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with tempfile.TemporaryDirectory() as directory:
        first = (
            pathlib.Path(directory) / f"tiny{formats.FORMATS[format].suffix}"
        )
        saving.save(tiny, first, format)
        return {
            name: _in_process(
                _peak_bytes, format, place, inputs, threads, first
            )
            for name, place in places.items()
        }


def dense_twin(model: keras.Model, seed: int = 0) -> keras.Model:
    """Return a copy of a model in which random weights replace the zeros.

    Args:
        model: plain Keras model.
        seed: seed of the weights.
    """
    if model_paths.is_assembled(model):
        twin = copying.clone(model, copying.copy_layer)
    else:
        twin = copying.copy_layer(model)
    copying.copy_state(model, twin)
    generator = np.random.default_rng(seed)
    for variable in twin.trainable_variables:
        array = variable.numpy()
        if array.ndim >= 2 and (array == 0).any():
            drawn = generator.standard_normal(array.shape) * array.std()
            variable.assign(np.where(array == 0, drawn, array))
    return twin


def processor() -> str:
    """Return the name of the processor, and whether it has wide vectors."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown processor"
    fields = dict(
        [part.strip() for part in line.split(":", 1)]
        for line in text.split("\n\n")[0].splitlines()
        if ":" in line
    )
    flags = fields.get("flags", "").split()
    wide = [name for name in ("avx512f", "avx512_vnni") if name in flags]
    name = fields.get("model name", "unknown processor")
    return f"{name}, {' and '.join(wide) or 'no AVX-512'}"


def remarks(rows: Sequence[Latency]) -> list[str]:
    """Return a sentence for each sparse file that is not faster."""
    return [
        f"{row.format}, batch {row.batch}: not faster than dense "
        f"({row.speedup:.2f} times as fast)."
        for row in rows
        if row.weights != "dense" and row.speedup < FASTER
    ]


def _in_process(function: Any, *arguments: Any) -> Any:
    """Call a function in a process that has done nothing but imports.

    One process imports TensorFlow for all of them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([runners.__name__])
    with futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _time_calls(
    format: str,
    places: Sequence[pathlib.Path],
    inputs: Mapping[str, np.ndarray],
    rounds: int,
    threads: int,
) -> list[list[float]]:
    """Return the seconds of each call of each file."""
    run = _limited(format, threads)
    runners = [run(place, list(inputs), threads) for place in places]
    arrays = list(inputs.values())
    for runner in runners * _WARM_UPS:
        runner(arrays)
    seconds: list[list[float]] = [[] for _ in runners]
    for _ in range(rounds):
        for runner, found in zip(runners, seconds, strict=True):
            began = time.perf_counter()
            runner(arrays)
            found.append(time.perf_counter() - began)
    return seconds


def _peak_bytes(
    format: str,
    place: pathlib.Path,
    inputs: Mapping[str, np.ndarray],
    threads: int,
    first: pathlib.Path,
) -> int:
    """Return by how much loading and running a file raises the peak memory.

    The runtime starts with a tiny file, which is not counted.
    """
    run = _limited(format, threads)
    run(first, ["input"], threads)([np.ones((1, 1), np.float32)])
    before = _peak()
    runner = run(place, list(inputs), threads)
    for _ in range(_WARM_UPS):
        runner(list(inputs.values()))
    return _peak() - before


def _peak() -> int:
    """Return the peak memory of this process, in bytes."""
    try:
        text = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(text.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):  # not on Linux, whose `getrusage` counts what
        # the process had before it executed this program.
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _limited(format: str, threads: int) -> Any:
    """Limit TensorFlow's threads; return the function that makes runners."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return formats.FORMATS[format].run
