"""Damaged files of runs: one line that names the file, nothing changed."""

import json
import os
import shutil
import zipfile

import fuzz
import numpy as np
import pytest
import tiny

from rigl_tf import archives
from rigl_tf import cli
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import terminal
from rigl_tf.masks import storage

RIGL = [*tiny.WORDS, "models.mlp.hidden=(8,)", "RECORD_MASKS=True"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "w"
    assert cli.main(["train", *RIGL, f"--workdir={workdir}"]) == 0
    assert cli.main(["connectivity", f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def run(finished, tmp_path):
    """Return a copy of the finished run."""
    return shutil.copytree(finished, tmp_path / "w")


@pytest.fixture
def unfinished(run):
    """Return a copy of the run, as if it had been killed after step 7."""
    for name in ("result.json", "checkpoints/00000012.npz"):
        (run / name).unlink()
    return run


def expect_line(words, message, root, capsys):
    """Require exit code 2, a line with a message, and no changed file."""
    before = fuzz.digests(root)
    capsys.readouterr()
    assert cli.main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    lines = [line for line in lines if not line.startswith("WARNING")]
    assert len(lines) == 1 and message in lines[0], lines
    assert lines[0].startswith("rigl_tf: ")
    assert fuzz.changed(before, fuzz.digests(root)) == []


DEEP = b"[" * 10_000 + b"]" * 10_000
TEXTS = {
    "empty": (b"", "must hold JSON"),
    "binary": (b"\xff\xfe\x00", "must hold JSON"),
    "half": (b'{"task": "x"', "must hold JSON"),
    "deep": (DEEP, "must hold JSON"),
    "deep object": (b'{"task":' * 10_000 + b"1" + b"}" * 10_000, "JSON"),
    "huge integer": (b'{"task": 1' + b"0" * 400 + b"}", "64 bits"),
    "huger integer": (b'{"task": 1' + b"0" * 9000 + b"}", "must hold JSON"),
    "list": (b"[]", "one JSON object"),
    "null": (b"null", "one JSON object"),
    "nothing": (b"{}", "lacks "),
}


@pytest.mark.parametrize("text, message", TEXTS.values(), ids=TEXTS)
def test_a_damaged_result_is_named(text, message, run, capsys):
    (run / "result.json").write_bytes(text)
    root = run.parent
    message = f"result.json' {message}" if "lacks" in message else message
    for words in (
        ["summary", f"--workdir={run}"],
        ["report", str(root)],
        ["connectivity", f"--workdir={run}"],
        ["train", *RIGL, f"--workdir={run}"],
        ["train", *RIGL, f"--workdir={root / 'new'}", f"INITIAL_RUN={run}"]
        + ["INITIAL_STEP=0"],
    ):
        expect_line(words, message, root, capsys)


FIELDS = [
    ("task", None),
    ("method", 3),
    ("updater", []),
    ("distribution", {}),
    ("sparsity", "0.9"),
    ("sparsity", 98),
    ("pattern", ["x"]),
    ("training_multiplier", -1),
    ("published", 4),
    ("accuracy", "x"),
    ("accuracy", None),
    ("accuracy", True),
    ("accuracy", float("nan")),
    ("bits_per_character", "x"),
    ("seed", -1),
    ("seed", 1.5),
    ("start", {"run": 3}),
    ("input_shape", [8, "8"]),
    ("input_shape", [0, 8]),
    ("layers", {}),
    ("layers", [{}]),
    ("sparsity_achieved", 1.5),
    ("itop_rate", "x"),
    ("steps", -12),
    ("wall_seconds", None),
    ("inference_flops", "x"),
    ("model_bytes", 0.5),
    ("without_dead_units", {"units": 3}),
]


@pytest.mark.parametrize("name, value", FIELDS)
def test_fields_of_another_type_or_range_are_named(name, value, finished):
    path = finished / "result.json"
    assert run_files.read_result(path)["task"] == "digits_mlp"
    other = finished / "other.json"
    other.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(files.DamagedFile, match=f"other.*must hold {name} as"):
        run_files.read_result(other)


@pytest.mark.parametrize("name", [*terminal._CLOSING, *terminal._TOTALS])
def test_a_summary_names_what_is_missing(name, run, capsys):
    path = run / "result.json"
    held = json.loads(path.read_text())
    del held[name]
    path.write_text(json.dumps(held))
    words = ["summary", f"--workdir={run}"]
    expect_line(words, f"lacks {name}", run.parent, capsys)


def test_reports_name_what_they_cannot_read(run, capsys):
    words = ["report", str(run.parent)]
    path = run / "connectivity.json"
    for text in (b"", b"{}", b'{"edge_shares": []}', b'{"edge_shares": [2]}'):
        path.write_bytes(text)
        expect_line(words, "connectivity.json' ", run.parent, capsys)
    path.write_text('{"edge_shares": [0.5, 0.25], "accuracy": "x"}')
    assert cli.main(words) == 0  # no other field is taken over
    held = json.loads((run / "result.json").read_text())
    held["published"] = "no/row"
    (run / "result.json").write_text(json.dumps(held))
    expect_line(words, "no published row: 'no/row'", run.parent, capsys)


def in_place(path, kind):
    """Put something else in the place of a file."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name)


KINDS = ("directory", "pipe", "link to itself")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [*run_files.FILES, "masks/00000004.npz", "checkpoints/00000012.npz"],
)
def test_training_refuses_what_stands_in_the_way(
    name, kind, unfinished, capsys
):
    in_place(unfinished / name, kind)
    words = ["train", *RIGL, f"--workdir={unfinished}"]
    message = f"{name}' must be a file, to train here"
    expect_line(words, message, unfinished, capsys)


@pytest.mark.parametrize("name", run_files.DIRECTORIES)
def test_training_refuses_a_file_in_place_of_a_directory(
    name, unfinished, capsys
):
    if (unfinished / name).exists():  # only truly sparse runs have all
        shutil.rmtree(unfinished / name)
    (unfinished / name).write_text("precious")
    words = ["train", *RIGL, f"--workdir={unfinished}"]
    expect_line(words, f"{name}' must be a directory", unfinished, capsys)


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(
    "command, name",
    [
        ("summary", "result.json"),
        ("report", "result.json"),
        ("report", "connectivity.json"),
        ("connectivity", "result.json"),
        ("sample", "model.keras"),
        ("masks", "masks.npz"),
    ],
)
def test_readers_do_not_wait_for_a_pipe(command, name, kind, run, capsys):
    in_place(run / name, kind)
    words = [command, f"--workdir={run}"]
    if command == "report":
        words = ["report", str(run.parent)]
    elif command == "masks":
        words = ["count", *RIGL, f"INITIAL_MASKS={run / name}"]
    if (command, name, kind) == ("masks", "masks.npz", "directory"):
        message = "no result.json"
    else:
        message = f"{name}' must be a file; a directory or pipe"
    expect_line(words, message, run.parent, capsys)


def test_training_goes_on_beside_what_is_not_its_own(unfinished, finished):
    strays = []
    for directory in (unfinished, *map(unfinished.joinpath, ["masks"])):
        for name in ("99.npz", "².npz", ".npz", "x", ".tmp-x", "7.npz/"):
            strays.append(directory / name)
            if name.endswith("/"):
                strays[-1].mkdir()
            else:
                strays[-1].write_text("precious")
    (unfinished / ".tmp-y").mkdir()
    os.mkfifo(unfinished / "checkpoints/x.npz")
    assert cli.main(["train", *RIGL, f"--workdir={unfinished}"]) == 0
    assert all(path.exists() for path in strays)
    assert (unfinished / ".tmp-y").is_dir()
    for name in ("masks.npz", "model.safetensors"):
        ours = (unfinished / name).read_bytes()
        assert ours == (finished / name).read_bytes()


def test_a_checkpoint_after_the_last_step_is_refused(unfinished, capsys):
    with np.load(unfinished / "checkpoints/00000006.npz") as archive:
        arrays = dict(archive)
    step = arrays[":trainer/step"]
    arrays[":trainer/step"] = np.full_like(step, 99)
    archives.write(unfinished / "checkpoints/00000099.npz", arrays)
    words = ["train", *RIGL, f"--workdir={unfinished}"]
    message = "a checkpoint of step 99, but the run ends at step 12"
    expect_line(words, message, unfinished, capsys)


@pytest.mark.slow
def test_a_run_that_lacks_only_its_result_is_completed(unfinished):
    words = ["train", *RIGL, f"--workdir={unfinished}"]
    assert cli.main(words) == 0
    (unfinished / "result.json").unlink()
    assert cli.main(words) == 0
    assert run_files.is_finished(unfinished)


def test_a_lock_that_is_a_link_is_not_emptied(unfinished, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    (unfinished / ".lock").unlink()
    (unfinished / ".lock").symlink_to(tmp_path / "thesis.tex")
    assert cli.main(["train", *RIGL, f"--workdir={unfinished}"]) == 0
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_configuration_that_is_no_text_is_named(unfinished, capsys):
    (unfinished / "config.gin").write_bytes(b"\xff\xfe")
    words = ["train", *RIGL, f"--workdir={unfinished}"]
    expect_line(words, "must be text in UTF-8", unfinished, capsys)


# Archives.


BITS = {"bits:a": np.array([255, 128], "uint8"), "shape:a": np.array([3, 3])}


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"bits:a": np.array([255.0, 1])},
            "as uint8 of shape .n., has float64",
        ),
        ({"bits:a": np.array([[255, 1]], "uint8")}, "of shape .1, 2."),
        ({"bits:a": np.array([255], "uint8")}, "one bit per weight"),
        ({"bits:a": np.array([{}], object)}, "has .O of shape"),
        ({"shape:a": np.array([3, 3.0])}, "as int64 of shape .n., has float64"),
        ({"shape:a": np.array([3, -3])}, "one bit per weight"),
        ({"shape:a": np.array([3, 0])}, "one bit per weight"),
        ({"shape:a": np.array([-3, -3])}, "one bit per weight"),
        (
            {"shape:a": np.array([3, 0]), "bits:a": np.zeros(0, "uint8")},
            "one bit per weight",
        ),
        ({"shape:a": np.array([10**12, 10**12])}, "one bit per weight"),
        ({"bits:b": np.array([1], "uint8")}, "lacks the entry 'shape:b'"),
    ],
)
def test_masks_that_are_none_are_refused(change, message, tmp_path):
    path = tmp_path / "masks.npz"
    archives.write(path, BITS)
    mask = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1]], bool)
    np.testing.assert_array_equal(storage.load(path)["a"], mask)
    np.savez(path, **{**BITS, **change})
    with pytest.raises(files.DamagedFile, match=f"masks.npz.*{message}"):
        storage.load(path)


@pytest.mark.parametrize("header", range(13))
def test_headers_of_no_sense_are_refused(header, tmp_path):
    choose = fuzz.random.Random(0)
    choose.choice = lambda options: options[header % len(options)]
    content = fuzz.damage._header(choose, b"")
    path = tmp_path / "a.npz"
    path.write_bytes(fuzz.damage._archive([("a.npy", content + bytes(16))]))
    with archives.reading(path) as archive:
        with pytest.raises(files.DamagedFile, match="has no array|has float32"):
            archive.read("a", (4,), "float32")


@pytest.mark.parametrize("how", ["short", "long", "encrypted", "lzma"])
def test_entries_of_another_length_or_format_are_refused(how, tmp_path):
    damage, path = fuzz.damage, tmp_path / "a.npz"
    content = damage._npy(np.ones(4, "float32"))
    content = {"short": content[:-1], "long": content + b"x"}.get(how, content)
    method = 14 if how == "lzma" else 0
    data = damage._archive([("a.npy", content)], method)
    path.write_bytes(
        damage.encrypted(None, data) if how == "encrypted" else data
    )
    with archives.reading(path) as archive:
        with pytest.raises(files.DamagedFile, match="a.npz' ha|a.npz' holds"):
            archive.read("a", (4,), "float32")


@pytest.mark.parametrize("offset", [0, 5, -10, 10**6, 2**63, 2**64 - 1])
def test_entries_that_lie_elsewhere_are_refused(offset, tmp_path):
    path = tmp_path / "a.npz"
    for _ in range(2):  # the length is known from the first
        size = path.stat().st_size if path.exists() else 0
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("b.npy", b"other")
            archive.writestr("a.npy", fuzz.damage._npy(np.ones(4, "float32")))
            place = size + offset if offset < 0 else offset
            archive.filelist[1].header_offset = max(place, 0)
    with pytest.raises(files.DamagedFile, match="a.npz' is damaged"):
        with archives.reading(path) as archive:
            archive.read("a", (4,), "float32")


def test_no_byte_of_an_archive_ends_in_another_error(tmp_path):
    path = tmp_path / "a.npz"
    array = np.arange(4, dtype="float32")
    archives.write(path, {"a": array, "b": array})
    intact, n_damaged = path.read_bytes(), 0
    for position in range(len(intact)):
        for value in (0, 1, 255):
            data = bytearray(intact)
            data[position] = value
            path.write_bytes(bytes(data))
            try:
                with archives.reading(path) as archive:
                    found = archive.read("a", (4,), "float32")
            except files.DamagedFile:
                n_damaged += 1
            else:
                np.testing.assert_array_equal(found, array)
    assert n_damaged > len(intact) / 4


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "uint16", "bool", "int64"])
def test_arrays_come_back(dtype, shape, order, tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, shape).astype(dtype)
    array = np.asarray(array, order=order)
    archives.write(tmp_path / "a.npz", {"a": array})
    with archives.reading(tmp_path / "a.npz") as archive:
        found = archive.read("a", shape, dtype)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == dtype and found.flags.writeable


def test_masks_of_another_kernel_are_not_drawn(run, capsys):
    storage.save(run / "masks/00000004.npz", {"x": np.ones((2, 2))})
    words = ["connectivity", f"--workdir={run}"]
    expect_line(words, "must hold a mask of 'fc1/kernel'", run, capsys)


def test_a_kernel_without_connections_can_be_drawn(run):
    path = run / "masks/00000004.npz"
    empty = {n: m & False for n, m in storage.load(path).items()}
    storage.save(path, empty)
    assert cli.main(["connectivity", f"--workdir={run}"]) == 0
    for other in (run / "masks").glob("*"):
        if other != path:
            other.unlink()
    assert cli.main(["connectivity", f"--workdir={run}"]) == 0


def test_foreign_results_are_named(tmp_path, capsys):
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "lacks task" in capsys.readouterr().err


def test_a_summary_passes_over_half_a_line(tmp_path, capsys):
    (tmp_path / "config.gin").write_text("", encoding="utf-8")
    record = {"step": 5, "loss": 0.5, "layers": []}
    text = json.dumps(record) + '\n{"step": 6'
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    assert cli.main(["summary", f"--workdir={tmp_path}"]) == 0
    assert "step 5, loss 0.5" in capsys.readouterr().out
