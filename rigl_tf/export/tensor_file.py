"""Read and write tensors in the safetensors format, checking every byte.

A file is the length of its header (8 bytes, little-endian), the header (a JSON
object), and the bytes of the tensors. The header maps each name to the type,
the shape and the range of bytes of its tensor, and `__metadata__` to strings.
Files of this module add the CRC-32 of each tensor as `crc32:<name>`.

The package `safetensors` reads these files. It does not read them here because
it cannot name the tensor that is damaged.
"""

from collections.abc import Mapping
import json
import math
from typing import Any
import zlib

import ml_dtypes
import numpy as np

METADATA = "__metadata__"
CRC = "crc32:"
_TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_ALIGNMENT = 8
_LARGEST_HEADER = 100_000_000  # as in the package


class Damage(ValueError):
    """The bytes are not those of a file that this module wrote."""


def encode(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> bytes:
    """Return the bytes of a file.

    Args:
        tensors: dictionary from name to array.
        metadata: dictionary of strings; the checksums are added to it.

    Raises:
        ValueError: if the format has no name for the type of an array.
    """
    texts = dict(metadata)
    header: dict[str, Any] = {METADATA: texts}
    parts, end = [], 0
    # Largest types first: every tensor then begins at a multiple of its type.
    for name in sorted(tensors, key=lambda n: -tensors[n].dtype.itemsize):
        array = np.asarray(tensors[name], order="C")
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise ValueError(
                "Tensors must have one of the types "
                f"{', '.join(_TYPES)}. Received: {name!r} of {array.dtype}"
            )
        part = array.astype(dtype, copy=False).tobytes()
        begin, end = end, end + len(part)
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        texts[CRC + name] = str(zlib.crc32(part))
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and the metadata in the bytes of a file.

    Args:
        data: what `encode` returned.

    Returns:
        A dictionary from name to a read-only array, and the metadata without
        the checksums.

    Raises:
        Damage: if a byte was changed or is missing.
    """
    header, begin = _header(data)
    texts = header.pop(METADATA, None)
    if not isinstance(texts, dict):
        raise Damage("has no checksums")
    metadata = {k: v for k, v in texts.items() if not k.startswith(CRC)}
    named = {k.removeprefix(CRC) for k in texts if k.startswith(CRC)}
    if named != header.keys():
        name = min(named ^ header.keys())
        raise Damage(f"has no tensor with checksum {name!r}")
    body, tensors, end = memoryview(data)[begin:], {}, 0
    for name, entry in header.items():
        array, end = _tensor(body, name, entry, end)
        if texts[CRC + name] != str(zlib.crc32(array.tobytes())):
            raise Damage(f"holds {name!r} with a wrong checksum")
        tensors[name] = array
    if len(body) != end:
        raise Damage(f"has {len(body) - end} bytes after its tensors")
    return tensors, metadata


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header, and where the tensors begin."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(_LARGEST_HEADER, len(data) - 8):
        raise Damage("is cut off, or is no safetensors file")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise Damage(f"has a damaged header ({error})") from None
    if not isinstance(header, dict):
        raise Damage("has a damaged header: it is no JSON object")
    return header, 8 + length


def _tensor(
    data: memoryview, name: str, entry: Any, begin: int
) -> tuple[np.ndarray, int]:
    """Return a tensor that begins at a byte, and where it ends."""
    try:
        dtype = _TYPES[entry["dtype"]]
        shape = tuple(map(int, entry["shape"]))
        first, end = map(int, entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise Damage(f"has a damaged header at {name!r}") from None
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=1) < 0 or first != begin or end - first != size:
        raise Damage(f"has a damaged header at {name!r}")
    if end > len(data):
        raise Damage(f"is cut off inside of {name!r}")
    array = np.frombuffer(data, dtype, math.prod(shape), begin)
    return array.reshape(shape), end
