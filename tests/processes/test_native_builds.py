"""Native code is built once, anywhere, or something else takes its place."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from rigl_tf import cli
from rigl_tf import sparse
from rigl_tf.sparse import backends
from rigl_tf.sparse.native import build

PRODUCT = """
import numpy as np
from rigl_tf import sparse
layer = sparse.SparseDense(5, 0.2, kernel_initializer="ones")
print(float(layer(np.ones((2, 4), np.float32))[0, 0]))
print(sparse.available())
"""
# Compilers for tests of what surrounds them: the real one takes seconds.
BROKEN = """#!/bin/sh
[ "$1" = --version ] && { echo "broken 1.0"; exit; }
echo "ops.cc:1: error: no such luck" >&2
exit 1
"""
# As if the headers of TensorFlow did not fit the compiler.
PLAIN = """#!/bin/sh
case "$*" in *ops.cc*) echo "op.h:1: error: wrong headers" >&2; exit 1;; esac
exec g++ "$@"
"""
COPYING = """#!/bin/sh
[ "$1" = --version ] && {{ echo "copying 1.0"; exit; }}
while [ "$1" != -o ]; do shift; done
cp {library} "$2"
"""


def start(code, **variables):
    environment = {**os.environ, "RIGL_TF_SPARSE": "auto"}
    environment |= {n: str(value) for n, value in variables.items()}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(process):
    """Return what a process printed, and what it said of the package."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    told = [line for line in errors.splitlines() if "rigl_tf:" in line]
    return output.splitlines(), told


@pytest.fixture
def library():
    """Return the library that the real compiler built, for all tests."""
    return build.library()


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Return a function that takes a script for the compiler."""

    def use(script):
        path = tmp_path / "compiler"
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        # To load a library in another process takes seconds, too.
        monkeypatch.setattr(build, "_LOAD", dict.fromkeys(build._LOAD, ""))

    return use


@pytest.fixture
def anew(monkeypatch):
    """Choose a backend anew, as a process that starts."""
    monkeypatch.setenv("RIGL_TF_SPARSE", "auto")
    for name in ("_choose", "_op", "_library"):
        function = getattr(backends, name).__wrapped__
        monkeypatch.setattr(backends, name, function)


def test_one_of_two_processes_builds_and_a_third_finds_the_library(
    library, compiler, tmp_path
):
    compiler(COPYING.format(library=library))
    pair = [start(PRODUCT, XDG_CACHE_HOME=tmp_path) for _ in range(2)]
    told = []
    for process in pair:
        (_, backend), said = lines_of(process)
        assert backend.startswith("op (")
        told += [line for line in said if "compiling" in line]
    assert len(told) == 1  # the other waited
    (library,) = pathlib.Path(tmp_path).rglob("*.so")
    before = library.stat().st_mtime_ns
    (_, backend), told = lines_of(start(PRODUCT, XDG_CACHE_HOME=tmp_path))
    assert backend.startswith("op (") and str(tmp_path) in backend
    assert not told
    assert library.stat().st_mtime_ns == before


def test_a_corrupt_library_is_built_again(library, compiler, capsys):
    compiler(COPYING.format(library=library))
    found = build.library()
    assert "compiling" in capsys.readouterr().err
    assert build.library() == found
    assert not capsys.readouterr().err
    found.write_bytes(library.read_bytes()[:1000])
    assert build.library() == found
    assert "compiling" in capsys.readouterr().err
    assert found.read_bytes() == library.read_bytes()


def test_a_library_that_does_not_load_is_refused(compiler, monkeypatch):
    compiler(COPYING.format(library="/dev/null"))
    monkeypatch.setitem(build._LOAD, "op", "import sys; sys.exit('wrong ABI')")
    with pytest.raises(build.BuildError, match="does not load: wrong ABI"):
        build.library()


def test_a_cache_that_cannot_be_written_is_told(
    library, compiler, tmp_path, monkeypatch, capsys
):
    compiler(COPYING.format(library=library))
    taken = tmp_path / "file"
    taken.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(taken))
    found = build.library()
    assert found.read_bytes() == library.read_bytes()
    told = capsys.readouterr().err.splitlines()
    assert "cannot be written" in told[0] and "XDG_CACHE_HOME" in told[0]
    assert build.library() == found
    assert "compiling" not in capsys.readouterr().err


@pytest.mark.usefixtures("anew")
def test_without_a_compiler_scipy_computes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    found = sparse.available()
    assert str(found).startswith("numpy (SciPy): no C++ compiler")
    (told,) = capsys.readouterr().err.splitlines()
    assert "install g++" in told
    layer = sparse.SparseDense(5, 0.2, kernel_initializer="ones")
    product = layer(np.ones((2, 4), np.float32))
    ones = np.ones((2, 4)) @ layer.matrix().toarray()
    np.testing.assert_allclose(product, ones, atol=1e-6)


@pytest.mark.usefixtures("anew")
def test_where_operations_fail_a_plain_library_computes(compiler, capsys):
    compiler(PLAIN)
    found = sparse.available()
    assert found.name == "library" and "wrong headers" in found.reason
    told = capsys.readouterr().err.splitlines()
    assert ["compiling" in line for line in told] == [True, True, False]
    assert "outside of TensorFlow" in told[2] and "wrong headers" in told[2]
    layer = sparse.SparseDense(5, 0.2, kernel_initializer="ones")
    product = layer(np.ones((2, 4), np.float32))
    ones = np.ones((2, 4)) @ layer.matrix().toarray()
    np.testing.assert_allclose(product, ones, atol=1e-6)


@pytest.mark.usefixtures("anew")
def test_a_failure_is_recorded_with_its_message(compiler, capsys):
    compiler(BROKEN)
    assert "error: no such luck" in str(sparse.available())
    assert "compiling" in capsys.readouterr().err
    found = str(sparse.available())
    assert "recorded in" in found and "delete it" in found
    assert "compiling" not in capsys.readouterr().err


@pytest.mark.usefixtures("anew")
def test_what_is_wished_for_and_missing_is_one_line(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("RIGL_TF_SPARSE", "op")
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    assert cli.main(["doctor"]) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert re.search("no C\\+\\+ compiler", told)


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


@pytest.mark.usefixtures("library")
def test_bits_do_not_depend_on_threads():
    """Nor on whether an operation or a plain library computes."""
    digests = set()
    for threads, backend in ((1, "op"), (3, "op"), (3, "library")):
        code = BITS.replace("{threads}", str(threads))
        (digest,), _ = lines_of(start(code, RIGL_TF_SPARSE=backend))
        digests.add(digest)
    assert len(digests) == 1
