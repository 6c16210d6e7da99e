"""Native operations are built once, anywhere, or SciPy takes their place."""

import os
import pathlib
import subprocess
import sys

import pytest

PRODUCT = """
import numpy as np
from rigl_tf import sparse
layer = sparse.SparseDense(5, 0.2, kernel_initializer="ones")
print(float(layer(np.ones((2, 4), np.float32))[0, 0]))
print(sparse.available())
"""
# A compiler for tests of what surrounds it: the real one takes seconds.
BROKEN = """#!/bin/sh
[ "$1" = --version ] && { echo "broken 1.0"; exit; }
echo "ops.cc:1: error: no such luck" >&2
exit 1
"""


def start(code=PRODUCT, **variables):
    environment = {**os.environ, "RIGL_TF_SPARSE": "auto"}
    environment |= {n: str(value) for n, value in variables.items()}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(**variables):
    """Return what a process says of its backend, and its messages."""
    process = start(**variables)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    value, backend = output.splitlines()
    told = [line for line in errors.splitlines() if "rigl_tf:" in line]
    return float(value), backend, told


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Build into an empty cache, by two processes at once."""
    directory = tmp_path_factory.mktemp("cache")
    pair = [start(XDG_CACHE_HOME=directory) for _ in range(2)]
    told = []
    for process in pair:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
        assert output.splitlines()[1].startswith("op (")
        told += [line for line in errors.splitlines() if "compiling" in line]
    assert len(told) == 1  # the other waited
    return directory


def library_in(directory):
    (found,) = pathlib.Path(directory).rglob("*.so")
    return found


def test_a_second_process_finds_the_library(cache):
    before = library_in(cache).stat().st_mtime_ns
    _, backend, told = ran(XDG_CACHE_HOME=cache)
    assert backend.startswith("op (") and str(cache) in backend
    assert not told
    assert library_in(cache).stat().st_mtime_ns == before


def test_a_corrupt_library_is_built_again(cache):
    library = library_in(cache)
    library.write_bytes(library.read_bytes()[:1000])
    _, backend, told = ran(XDG_CACHE_HOME=cache)
    assert backend.startswith("op (")
    assert "compiling" in told[0]
    assert library_in(cache).stat().st_size > 1000


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("")
    value, backend, told = ran(XDG_CACHE_HOME=taken)
    assert backend.startswith("op (")
    assert "cannot be written" in told[0] and "XDG_CACHE_HOME" in told[0]


def test_without_a_compiler_scipy_computes_the_same(cache, tmp_path):
    by_op, _, _ = ran(XDG_CACHE_HOME=cache)
    by_scipy, backend, told = ran(XDG_CACHE_HOME=tmp_path, PATH=tmp_path)
    assert backend.startswith("numpy (SciPy): no C++ compiler")
    assert by_scipy == pytest.approx(by_op, abs=1e-6)
    assert len(told) == 1 and "install g++" in told[0]


def test_a_failure_is_recorded_with_its_message(tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text(BROKEN)
    compiler.chmod(0o755)
    variables = {"XDG_CACHE_HOME": tmp_path, "CXX": compiler}
    _, backend, told = ran(**variables)
    assert "error: no such luck" in backend
    assert any("compiling" in line for line in told)
    _, backend, told = ran(**variables)
    assert "recorded in" in backend and "delete it" in backend
    assert not any("compiling" in line for line in told)


def test_what_is_wished_for_and_missing_is_one_line(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "rigl_tf", "doctor"],
        env={
            **os.environ,
            "RIGL_TF_SPARSE": "op",
            "CXX": str(tmp_path / "missing"),
        },
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    assert "no C++ compiler" in process.stderr


BITS = """
import hashlib
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads({threads})
from rigl_tf import sparse
layer = sparse.SparseDense(700, 0.1, kernel_initializer="ones")
x = tf.random.stateless_normal([300, 900], [1, 2])
with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x)
    loss = tf.reduce_sum(y * y)
tensors = y, *tape.gradient(loss, [x, layer.values.value])
data = b"".join(t.numpy().tobytes() for t in tensors)
print(hashlib.sha256(data).hexdigest())
"""


def test_bits_do_not_depend_on_threads(cache):
    digests = set()
    for threads in (1, 2, 3):
        process = start(
            BITS.replace("{threads}", str(threads)), XDG_CACHE_HOME=cache
        )
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
        digests.add(output)
    assert len(digests) == 1
