"""Compile native code on first use, and keep it in a cache.

A library of operations belongs to one version of TensorFlow and one compiler, a
plain one to a compiler; the key of its directory is a digest of these and of
the sources. It holds the code of all instruction sets and chooses at run time,
since a home directory may be shared between machines.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import tensorflow as tf

from rigl_tf import files

_HERE = pathlib.Path(__file__).parent
_HEADERS = ("instruction_sets.h", "kernels.h", "kernels_body.h")
# What is compiled for a kind of library, and how it is tried.
_SOURCES = {"op": "ops.cc", "library": "library.cc"}
_LOAD = {
    "op": "import sys, tensorflow as tf; tf.load_op_library(sys.argv[1])",
    "library": "import ctypes, sys; ctypes.CDLL(sys.argv[1])",
}
_LIBRARY = "rigl_sparse.so"
_FAILURE = "failure.txt"
_OPTIONS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-w")


class BuildError(RuntimeError):
    """Native code cannot be had here; the message says why."""


def library(kind: str = "op") -> pathlib.Path:
    """Return a library, compiled now unless the cache holds it.

    Args:
        kind: "op" for operations of TensorFlow, "library" for a plain one.

    Returns:
        path of a library that a process of this TensorFlow can load.

    Raises:
        BuildError: there is no compiler, it failed (now or before, with the
            same compiler and TensorFlow), or the library does not load.
    """
    compiler = _compiler()
    directory = _cache() / _key(kind, compiler)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / "lock"):
            return _in_cache(directory, kind, compiler)
    except OSError as error:
        return _for_this_process(kind, compiler, error)


def _in_cache(directory, kind, compiler):
    """Return the library of a directory that is locked for this process."""
    failure, target = directory / _FAILURE, directory / _LIBRARY
    if _is_sound(target):
        return target
    if failure.exists():
        raise BuildError(
            f"{failure.read_text(encoding='utf-8')} (recorded in "
            f"{str(failure)!r}; delete it to try again)"
        )
    try:
        _compile(kind, compiler, target)
    except BuildError as error:
        files.write_text(failure, str(error))
        raise
    return target


@functools.cache  # the directory lives as long as the process
def _temporary():
    # Kept in a global, as it is removed with the object.
    return tempfile.TemporaryDirectory(prefix="rigl_tf-")


def _for_this_process(kind, compiler, error):
    """Build outside of the cache, which cannot be written."""
    sys.stderr.write(
        f"rigl_tf: {str(_cache())!r} cannot be written ({error.strerror}), so "
        "native code is compiled for this process alone; set "
        "XDG_CACHE_HOME to a directory that can\n"
    )
    target = pathlib.Path(_temporary().name) / f"{kind}_{_LIBRARY}"
    if not target.exists():
        _compile(kind, compiler, target)
    return target


def _cache():
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(home).expanduser() / "rigl_tf" / "native"


def _compiler():
    """Return a C++ compiler and what it says of its version."""
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++"]:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            version = subprocess.run(
                [name, "--version"], capture_output=True, check=True, text=True
            )
            return name, version.stdout
    raise BuildError(
        "no C++ compiler: install g++ or clang++, or name one in CXX"
    )


def _key(kind, compiler):
    """Return a digest of all that the library depends on."""
    digest = hashlib.sha256()
    names = (_SOURCES[kind], *_HEADERS)
    parts = [(_HERE / name).read_text(encoding="utf-8") for name in names]
    if kind == "op":
        parts.append(tf.version.VERSION)
    parts += [*sum(_flags(kind), []), *_OPTIONS, *compiler]
    for part in [*parts, platform.machine()]:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _flags(kind):
    if kind == "library":
        return [], []
    return tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()


def _compile(kind, compiler, target):
    """Compile, load in a child process, and move into place."""
    name, _ = compiler
    what = {
        "op": "operations with {}, once for this TensorFlow (about 20 s)",
        "library": "code with {}, once (a few seconds)",
    }
    sys.stderr.write(f"rigl_tf: compiling native {what[kind].format(name)}\n")
    compile_flags, link_flags = _flags(kind)
    with files.replacing(target) as temporary:
        command = [
            *(name, *_OPTIONS, *compile_flags, str(_HERE / _SOURCES[kind])),
            *("-o", str(temporary), *link_flags),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = [
                line for line in done.stderr.splitlines() if "error" in line
            ]
            raise BuildError(f"{name} failed: {(lines or ['?'])[0]}")
        # A library of another ABI would end the process that loads it.
        child = subprocess.run(
            [sys.executable, "-c", _LOAD[kind], str(temporary.absolute())],
            capture_output=True,
            text=True,
        )
        if child.returncode:
            last = (child.stderr.splitlines() or ["no message"])[-1]
            raise BuildError(f"the compiled library does not load: {last}")
        digest = _digest(temporary)
    files.write_text(_digest_file(target), digest)


def _is_sound(target):
    """Return whether a library has the bytes that were compiled."""
    digest = _digest_file(target)
    if not target.exists() or not digest.exists():
        return False
    return digest.read_text(encoding="utf-8") == _digest(target)


def _digest_file(target):
    return target.with_suffix(".sha256")


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Let one process at a time look, and build."""
    with open(path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
