"""What can have happened to a file of a run: ways to damage it."""

import io
import json
import os
import shutil
import zipfile

import numpy as np

STRAY = (
    "99.npz",
    "²².npz",
    "0000000９.npz",
    "-0000001.npz",
    "x.npz",
    ".npz",
    "00000003.npz.bak",
    ".tmp-x",
    "notes.txt",
    "Icon\r",
)
_DEEP = b"[" * 10_000 + b"]" * 10_000
_DEEP_OBJECT = b'{"step":' * 10_000 + b"1" + b"}" * 10_000
_NUMBERS = [-1, -5, 0, 1.5, 1e308, 10**400, 2**63, 2**31, True]
_VALUES = [
    *_NUMBERS,
    None,
    "",
    "x",
    "\ud800",
    "a\nb",
    "$x_$",
    [],
    [None],
    {},
    {"a": []},
    [[]],
    float("nan"),
    float("inf"),
]


def _truncate(rng, data):
    return data[: rng.randrange(len(data) + 1)]


def _flip(rng, data):
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _empty(rng, data):
    return b""


def _zeros(rng, data):
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes(len(data) - at)


def _junk(rng, data):
    return data + rng.randbytes(rng.choice([1, 30, 5000]))


def _noise(rng, data):
    return rng.randbytes(rng.choice([3, 300]))


BYTES = (_truncate, _flip, _empty, _zeros, _junk, _noise)


# JSON.


def json_text(rng, data):
    """Replace a text by another one, which may be no JSON."""
    del data
    return rng.choice(
        [
            b"{}",
            b"[]",
            b"null",
            b"NaN",
            b"7",
            b'"x"',
            b"\xff\xfe{}",
            b'{"step": 1',
            b"1" * 5000,
            _DEEP,
            _DEEP_OBJECT,
            b"\xef\xbb\xbf{}",
        ]
    )


def json_field(rng, data):
    """Replace, rename or remove something at any depth."""
    value = json.loads(data)
    for _ in range(rng.choice([1, 2, 4])):
        _change(rng, value)
    return json.dumps(value, indent=1).encode()


def _change(rng, value):
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = rng.choice(keys)
    inside = value[key]
    if isinstance(inside, (dict, list)) and inside and rng.random() < 0.6:
        _change(rng, inside)
    elif rng.random() < 0.25:
        del value[key]
    else:
        value[key] = rng.choice(_VALUES)


def json_line(rng, data):
    """Change, insert or tear a line of a file of JSON lines."""
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines) + 1)
    kind = rng.randrange(7)
    if kind == 0:
        lines.insert(at, rng.randbytes(20) + b"\n")
    elif kind == 1:
        lines.insert(at, json_text(rng, b"") + b"\n")
    elif kind == 2:
        lines.insert(at, json.dumps(rng.choice(_VALUES)).encode() + b"\n")
    elif kind == 3:
        record = {"step": rng.choice(_VALUES), "loss": rng.choice(_VALUES)}
        lines.insert(at, json.dumps(record).encode() + b"\n")
    elif kind == 4:
        lines.append('{"step": 12, "note": "ä'.encode()[:-1])
    elif kind == 5:
        rng.shuffle(lines)
    else:
        lines.insert(at, b"\r\n\0\x85\xe2\x80\xa8\n")
    return b"".join(lines)


# Archives of arrays.


def _entries(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(entries, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _other_kind(rng, array):
    """Return the array with the same bytes or values, as another kind."""
    kinds = [
        "int32",
        "float64",
        "uint8",
        "S3",
        "U2",
        "bool",
        "complex64",
        ">f4",
    ]
    if array.dtype.itemsize == 4 and rng.random() < 0.5:
        return array.view("int32" if array.dtype.kind == "f" else "float32")
    return array.astype(rng.choice(kinds))


def _header(rng, content):
    """Write another header, of sizes that no memory holds or of no sense."""
    text = rng.choice(
        [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': "
            f"({10**13},), }}\n",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }",
            "{'descr': '|O', 'fortran_order': False, 'shape': (4,), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': 3, 'shape': (4,), }",
            "{1: 2, 'a': 3}",
            "(" * 3000,
            "[" * 90 + "]" * 90,
            "'" * 9,
            "\n  x\n y",
            " " * 60_000,
            "\0",
        ]
    ).encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def array_entry(rng, data):
    """Change one entry of an archive, whose checksums stay right."""
    entries = _entries(data)
    name = rng.choice(list(entries))
    array = np.load(io.BytesIO(entries[name]))
    kind = rng.randrange(12)
    method = zipfile.ZIP_STORED
    if kind == 0:
        entries[name] = _npy(_other_kind(rng, array))
    elif kind == 1:
        entries[name] = _header(rng, entries[name])
    elif kind == 2:
        entries[name] = _npy(array.reshape(1, *array.shape))
    elif kind == 3:
        entries[name] = _npy(np.array([{}, "x"], object))
    elif kind == 4:
        del entries[name]
    elif kind == 5:
        entries["x" + name] = entries.pop(name)
    elif kind == 6:
        entries[rng.choice(["foreign.npy", "readme", "../up.npy"])] = b"text"
    elif kind == 7:
        entries[name] = _npy(array.ravel()[:-1])
    elif kind == 8:
        method = rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    elif kind == 9:
        return entries[name]  # a bare .npy
    elif kind == 10:
        entries[name] = entries[name][:-1]
    else:
        entries[name] += b"more"
    return _archive(entries.items(), method)


COUNTERS = (":loop/n_batches.npy", ":trainer/step.npy", ":optimizer/0.npy")


def counter(rng, data):
    """Set a counter of a checkpoint to what it can never be."""
    entries = _entries(data)
    name = rng.choice(COUNTERS)
    value = np.load(io.BytesIO(entries[name]))
    entries[name] = _npy(np.full_like(value, rng.choice([-5, -1, 10**6])))
    return _archive(entries.items())


def encrypted(rng, data):
    """Mark all entries of an archive as encrypted."""
    del rng
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(signature)
        while at >= 0:
            changed[at + offset] |= 1
            at = changed.find(signature, at + 4)
    return bytes(changed)


# What stands in the place of a file.


def in_place(rng, path):
    """Put something else in the place of a file; return what."""
    kind = rng.choice(["directory", "fifo", "link to itself", "nothing"])
    path.unlink()
    if kind == "directory":
        path.mkdir()
        (path / "thesis.tex").write_bytes(b"precious")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link to itself":
        path.symlink_to(path.name)
    return kind


def stray(rng, directory):
    """Add something whose name is not a run's; return the path."""
    path = directory / rng.choice(STRAY)
    kind = rng.choice(["file", "directory", "fifo", "file"])
    if kind == "directory":
        path.mkdir()
        (path / "thesis.tex").write_bytes(b"precious")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(rng.randbytes(50))
    return path


def of_content(rng, path):
    """Change what a file holds; return the name of the way."""
    data = path.read_bytes()
    ways = list(BYTES)
    if path.suffix == ".npz":
        ways += [array_entry] * 8 + [encrypted]
        ways += [counter] * 2 * (path.parent.name == "checkpoints")
    elif path.suffix == ".json":
        ways += [json_text] * 3 + [json_field] * 8
    elif path.suffix == ".jsonl":
        ways += [json_text] * 2 + [json_line] * 8
    way = rng.choice(ways)
    path.write_bytes(way(rng, data))
    return way.__name__.strip("_")


def swap(rng, path, others):
    """Copy another file over one; return its name."""
    other = rng.choice([o for o in others if o != path])
    shutil.copyfile(other, path)
    return f"{other.parent.name}/{other.name}"
