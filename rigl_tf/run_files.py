"""The files of a run: their names, and readers that check what they hold.

Names that are not a run's are passed over. What a file of a run must hold is
checked where it is read; `files.DamagedFile` says what is wrong in one line.
"""

import dataclasses
import json
import re

from rigl_tf import files

CONFIG = "config.gin"
METRICS = "metrics.jsonl"
RESULT = "result.json"
MODEL = "model.keras"
MASKS = "masks.npz"
PACKED = "packed.npz"
CONNECTIVITY = "connectivity.json"
STRIP, MOVIE = "connectivity.png", "connectivity.gif"
LOCK = ".lock"
FILES = (CONFIG, METRICS, RESULT, MODEL, MASKS, PACKED, CONNECTIVITY)
FILES += (STRIP, MOVIE, LOCK)
CHECKPOINT_DIRECTORY = "checkpoints"
MASK_DIRECTORY = "masks"
DIRECTORIES = (CHECKPOINT_DIRECTORY, MASK_DIRECTORY)
# Directories whose files TensorFlow names.
PROFILE_DIRECTORY = "profile"
TENSORBOARD_DIRECTORY = "tensorboard"

_NUMBERED = re.compile(r"(0\d{7}|[1-9]\d{7,17})\.npz", re.ASCII)
_MAX = 2**63 - 1


# Names.


def numbered(directory, step):
    """Return the path of the file of a step, in a directory of such files."""
    return directory / f"{step:08d}.npz"


def is_numbered(name):
    """Say whether a name is that of the file of a step."""
    return _NUMBERED.fullmatch(name) is not None


def steps(directory):
    """List the steps that have a file in a directory, oldest first."""
    return sorted(
        int(path.stem)
        for path in directory.glob("*.npz")
        if is_numbered(path.name) and _is_file(path)
    )


def remove_incomplete(workdir):
    """Delete the files that a killed process was writing."""
    files.remove_incomplete(workdir, FILES.__contains__)
    for name in DIRECTORIES:
        files.remove_incomplete(workdir / name, is_numbered)


def require_places(workdir):
    """Require that nothing stands where a run writes its files.

    Args:
        workdir: path of a work directory, which may not exist.

    Raises:
        files.DamagedFile: a directory, pipe or broken link has the name of a
            file, or a file that of a directory.
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
    """What a value must be: a description, and a function that says so."""

    name: str
    holds: object


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


# Of result.json, what is read again.
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


def read_result(path, required=()):
    """Read a result.json.

    Args:
        path: of the file.
        required: names of fields that it must have.

    Returns:
        dictionary; the fields that we read again are of their type and range.

    Raises:
        files.DamagedFile: something is wrong with it; says what.
        FileNotFoundError: it does not exist.
    """
    return _checked(path, _RESULT, required)


def is_finished(workdir):
    """Say whether a work directory holds the result of its run.

    Raises:
        files.DamagedFile: it holds a damaged one.
    """
    path = workdir / RESULT
    if not path.exists():
        return False
    read_result(path, required=["accuracy", "layers", "steps"])
    return True


def read_connectivity(path):
    """Read a connectivity.json; errors as `read_result`."""
    return _checked(path, _CONNECTIVITY, _CONNECTIVITY)


def require_fields(path, value, required):
    """Raise `files.DamagedFile` if an object lacks one of some fields."""
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


def read_metrics(path):
    """Read a metrics.jsonl line by line.

    Args:
        path: of the file.

    Returns:
        list of `(line, record)`: bytes, and the JSON object, or None where the
        line is not an object with a `step`.

    Raises:
        files.DamagedFile: the path is that of a directory or a pipe.
        FileNotFoundError: it does not exist.
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
    """Refuse integers of which a float could not be made."""
    if len(text) > 20 or abs(int(text)) > _MAX:
        raise ValueError("an integer of more than 64 bits")
    return int(text)
