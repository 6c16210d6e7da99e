"""Encode values as bytes that are safe to read: JSON plus arrays."""

import io
import json
import typing
import zipfile

import numpy as np

_SKELETON = "skeleton"


def encode(value: typing.Any) -> bytes:
    """Return a value as bytes.

    Args:
        value: None, a bool, number, string or array, or tuples, lists and
            dictionaries of these.

    Raises:
        TypeError: it is, or holds, something else.
    """
    arrays: dict[str, typing.Any] = {}
    text = json.dumps(_taken_apart(value, arrays))
    arrays[_SKELETON] = np.frombuffer(text.encode("utf-8"), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def decode(data: bytes) -> typing.Any:
    """Return the value that `encode` encoded; executes nothing.

    Raises:
        ValueError: the bytes are not of `encode`.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            text = arrays[_SKELETON].tobytes().decode("utf-8")
            return _put_together(json.loads(text), arrays)
    except (
        AttributeError,
        EOFError,
        KeyError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(f"Bytes of another kind ({error})") from error


def _taken_apart(value, arrays):
    """Return a value as JSON has it; put its arrays into a dictionary."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        name = f"array_{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array": name}
    if isinstance(value, dict):
        items = value.items()
        return {
            "dict": [[_taken_apart(x, arrays) for x in item] for item in items]
        }
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_taken_apart(x, arrays) for x in value]}
    raise TypeError(
        "Only numbers, strings, arrays and what is made of them can be sent. "
        f"Received: {value!r}"
    )


def _put_together(value, arrays):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    items = [
        _put_together({"tuple": x} if kind == "dict" else x, arrays)
        for x in content
    ]
    return {"dict": dict, "tuple": tuple, "list": list}[kind](items)
