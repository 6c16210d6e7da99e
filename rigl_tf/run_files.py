"""Name the files of a run, and read them with their content checked.

Files with other names are ignored. `files.DamagedFile` names the wrong field.
"""

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
import json
import pathlib
import re
from typing import Any

from rigl_tf import files

CONFIG = "config.gin"
METRICS = "metrics.jsonl"
RESULT = "result.json"
MODEL = "model.keras"
MASKS = "masks.npz"
COMPACT = "model.safetensors"
PREDICTIONS = "predictions.npz"
CONNECTIVITY = "connectivity.json"
STRIP, MOVIE = "connectivity.png", "connectivity.gif"
LOCK = ".lock"
FILES: tuple[str, ...] = (CONFIG, METRICS, RESULT, MODEL, MASKS, COMPACT)
FILES += (PREDICTIONS, CONNECTIVITY, STRIP, MOVIE, LOCK)
CHECKPOINT_DIRECTORY = "checkpoints"
MASK_DIRECTORY = "masks"
SPARSE_DIRECTORY = "sparse"
DIRECTORIES = (CHECKPOINT_DIRECTORY, MASK_DIRECTORY, SPARSE_DIRECTORY)
# Directories whose files TensorFlow names.
PROFILE_DIRECTORY = "profile"
TENSORBOARD_DIRECTORY = "tensorboard"

_NUMBERED = re.compile(r"(0\d{7}|[1-9]\d{7,17})\.npz", re.ASCII)
_MAX = 2**63 - 1


# Names.


def numbered(directory: pathlib.Path, step: int) -> pathlib.Path:
    """Return the path of the file that belongs to a step.

    Args:
        directory: directory of numbered files, such as checkpoints or masks.
        step: number of completed optimizer steps.
    """
    return directory / f"{step:08d}.npz"


def is_numbered(name: str) -> bool:
    """Return whether a name is that of a numbered file, see `numbered`."""
    return _NUMBERED.fullmatch(name) is not None


def steps(directory: pathlib.Path) -> list[int]:
    """List the steps that have a file in a directory, in ascending order."""
    return sorted(
        int(path.stem)
        for path in directory.glob("*.npz")
        if is_numbered(path.name) and _is_file(path)
    )


def remove_incomplete(workdir: pathlib.Path) -> None:
    """Delete temporary files that a killed process left in a work directory."""
    files.remove_incomplete(workdir, FILES.__contains__)
    for name in DIRECTORIES:
        files.remove_incomplete(workdir / name, is_numbered)


def require_places(workdir: pathlib.Path) -> None:
    """Require that a run can write its files to a work directory.

    Args:
        workdir: path of the work directory, which may not exist.

    Raises:
        files.DamagedFile: if a directory, pipe or broken link has the name of
            one of the files, or a file the name of one of the directories.
    """
    if not files.is_local(workdir):  # object stores have only files
        return
    for path in (workdir / name for name in DIRECTORIES):
        if _is_taken(path) and not path.is_dir():
            raise files.DamagedFile(
                path, "must be a directory, to train here; move it away"
            )
    places = [workdir / name for name in FILES]
    places += [
        path
        for name in DIRECTORIES
        for path in (workdir / name).glob("*.npz")
        if is_numbered(path.name)
    ]
    for path in places:
        if _is_taken(path) and not path.is_file():
            raise files.DamagedFile(
                path, "must be a file, to train here; move it away"
            )


def _is_taken(path):
    return path.exists() or path.is_symlink()


def _is_file(path):
    return not files.is_local(path) or path.is_file()


# JSON.


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A rule for a value: its description, and a function that tests it."""

    name: str
    holds: Callable[[Any], bool]


def _is_number(value):
    return type(value) in (int, float)


def _is_count(value):
    return type(value) is int and value >= 0


def _is_list_of(holds):
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _or_none(kind):
    return _Kind(f"{kind.name} or null", lambda v: v is None or kind.holds(v))


_TEXT = _Kind("a string", lambda v: isinstance(v, str))
_NUMBER = _Kind("a number", _is_number)
_POSITIVE = _Kind("a number of 0 or more", lambda v: _is_number(v) and v >= 0)
_FRACTION = _Kind("a number in [0, 1]", lambda v: _is_number(v) and 0 <= v <= 1)
_COUNT = _Kind("an integer of 0 or more", _is_count)
_SIZES = _Kind(
    "a list of integers of 1 or more",
    _is_list_of(lambda v: _is_count(v) and v > 0),
)
_OPEN_SIZES = _Kind(
    "a list of integers of 1 or more, or null",
    _is_list_of(lambda v: v is None or _is_count(v) and v > 0),
)
_FRACTIONS = _Kind("a list of numbers in [0, 1]", _is_list_of(_FRACTION.holds))
_LAYER = {
    "name": _TEXT,
    "shape": _SIZES,
    "target": _FRACTION,
    "sparsity": _FRACTION,
    "n_active": _COUNT,
    "dead_rows": _COUNT,
    "dead_columns": _COUNT,
    "first_mask_overlap": _FRACTION,
}


def _is_layer(value):
    return isinstance(value, dict) and all(
        name in value and kind.holds(value[name])
        for name, kind in _LAYER.items()
    )


def _is_small_network(value):
    return (
        isinstance(value, dict)
        and _is_list_of(_is_count)(value.get("units"))
        and _is_count(value.get("bytes"))
    )


def _is_start(value):
    return isinstance(value, dict) and all(
        isinstance(word, str) for word in value.values()
    )


# The fields of result.json that rigl_tf reads again.
_RESULT = {
    "task": _TEXT,
    "method": _TEXT,
    "updater": _or_none(_TEXT),
    "distribution": _TEXT,
    "sparsity": _FRACTION,
    "pattern": _TEXT,
    "training_multiplier": _POSITIVE,
    "published": _or_none(_TEXT),
    "accuracy": _FRACTION,
    "bits_per_character": _NUMBER,
    "test_examples": _COUNT,
    "seed": _COUNT,
    "start": _Kind("an object of strings", _is_start),
    "settings": _or_none(_Kind("an object", lambda v: isinstance(v, dict))),
    "label": _or_none(_TEXT),
    "input_shape": _OPEN_SIZES,
    "layers": _Kind(
        f"a list of objects with {', '.join(_LAYER)}", _is_list_of(_is_layer)
    ),
    "sparsity_achieved": _FRACTION,
    "itop_rate": _or_none(_FRACTION),
    "steps": _COUNT,
    "wall_seconds": _POSITIVE,
    "parameters": _COUNT,
    "active_parameters": _POSITIVE,
    "inference_flops": _POSITIVE,
    "inference_flops_ratio": _POSITIVE,
    "train_flops": _POSITIVE,
    "train_flops_ratio_run": _POSITIVE,
    "train_flops_ratio_published": _POSITIVE,
    "model_bytes": _COUNT,
    "model_bytes_csr": _COUNT,
    "dense_bytes": _COUNT,
    "file_bytes": _COUNT,
    "without_dead_units": _Kind(
        "an object with units and bytes", _is_small_network
    ),
}
_CONNECTIVITY = {
    "edge_shares": _Kind(
        "a list of numbers in [0, 1], one or more",
        lambda v: _FRACTIONS.holds(v) and bool(v),
    ),
}


def read_result(
    path: pathlib.Path, required: Iterable[str] = ()
) -> dict[str, Any]:
    """Read a `result.json` file.

    Args:
        path: path of the file.
        required: names of the fields that the file must have.

    Returns:
        The dictionary in the file. The fields that rigl_tf reads again have
        the right type and range.

    Raises:
        files.DamagedFile: if a field is missing or wrong; the message names it.
        FileNotFoundError: if the file does not exist.
    """
    return _checked(path, _RESULT, required)


def is_finished(workdir: pathlib.Path) -> bool:
    """Return whether a work directory contains the result of its run.

    Raises:
        files.DamagedFile: if the result is damaged.
    """
    path = workdir / RESULT
    if not path.exists():
        return False
    read_result(path, required=["accuracy", "layers", "steps"])
    return True


def read_connectivity(path: pathlib.Path) -> dict[str, Any]:
    """Read a `connectivity.json` file. See `read_result` for the errors."""
    return _checked(path, _CONNECTIVITY, _CONNECTIVITY)


def require_fields(
    path: pathlib.Path, value: dict[str, Any], required: Iterable[str]
) -> None:
    """Raise `files.DamagedFile` if an object lacks a required field.

    Args:
        path: path of the file, used in the error message.
        value: the object.
        required: names of the fields.
    """
    for name in required:
        if name not in value:
            raise files.DamagedFile(path, f"lacks {name}")


def _checked(path, kinds, required):
    value = _read_json(path)
    if not isinstance(value, dict):
        raise files.DamagedFile(path, "must hold one JSON object")
    require_fields(path, value, required)
    for name, kind in kinds.items():
        if name in value and not kind.holds(value[name]):
            raise files.DamagedFile(
                path,
                f"must hold {name} as {kind.name}. "
                f"Received: {name}={repr(value[name])[:100]}",
            )
    return value


def read_metrics(
    path: pathlib.Path,
) -> list[tuple[bytes, dict[str, Any] | None]]:
    """Read a `metrics.jsonl` file line by line.

    Args:
        path: path of the file.

    Returns:
        A list of `(line, record)`: the bytes of each line, and its JSON object,
        or None if the line is not an object with a `step`.

    Raises:
        files.DamagedFile: if the path is a directory or a pipe.
        FileNotFoundError: if the file does not exist.
    """
    with files.open_bytes(path) as stream:
        return [(line, _record(line)) for line in stream]


def _record(line):
    try:
        record = _parse(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not _is_count(record.get("step")):
        return None
    return record


def _read_json(path):
    try:
        return _parse(files.read_bytes(path))
    except files.DamagedFile:
        raise
    except (ValueError, RecursionError) as error:
        raise files.DamagedFile(path, f"must hold JSON ({error})") from error


def _parse(data):
    return json.loads(data.decode("utf-8"), parse_int=_integer)


def _integer(text):
    """Refuse integers that do not fit into 64 bits."""
    if len(text) > 20 or abs(int(text)) > _MAX:
        raise ValueError("an integer of more than 64 bits")
    return int(text)
