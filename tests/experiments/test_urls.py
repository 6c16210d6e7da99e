"""Work directories at a URL, by TensorFlow's file system in memory."""

import json

from etils.epath import backend
import pytest
import tensorflow as tf
import tiny

from rigl_tf import cli
from rigl_tf import files

RIGL = [
    *tiny.WORDS,
    "KEEP_CHECKPOINTS=3",
    "RECORD_MASKS=True",
    "SEED=3",
]


class Bucket:
    """`tf.io.gfile` with gs:// kept in memory, which needs no network."""

    def __getattr__(self, name):
        function = getattr(tf.io.gfile, name)

        def call(*args, **kwargs):
            args = [self._place(value) for value in args]
            if (
                name == "GFile"
                and "w" in args[1]
                and tf.io.gfile.exists(args[0])
            ):
                tf.io.gfile.remove(args[0])  # in memory, "w" appends
            found = function(*args, **kwargs)
            if isinstance(found, list):
                return [self._place(f, "ram://", "gs://") for f in found]
            if name == "walk":
                return (
                    (self._place(root, "ram://", "gs://"), *rest)
                    for root, *rest in list(found)
                )
            return found

        return call

    @staticmethod
    def _place(value, old="gs://", new="ram://"):
        return value.replace(old, new) if isinstance(value, str) else value


@pytest.fixture
def bucket(monkeypatch):
    """Return the name of an empty bucket."""
    gfile = property(lambda self: Bucket())
    monkeypatch.setattr(type(backend.tf_backend), "gfile", gfile)
    tf.io.gfile.makedirs("ram://bucket")
    yield "gs://bucket"
    tf.io.gfile.rmtree("ram://bucket")


@pytest.mark.slow
def test_a_run_in_a_bucket_is_that_on_a_disk(bucket, tmp_path, capsys):
    """Train, be killed after step 6, go on, report, evaluate, draw."""
    remote, local = files.path(f"{bucket}/run"), tmp_path / "run"
    assert cli.main(["train", *RIGL, f"--workdir={local}"]) == 0
    assert cli.main(["train", *RIGL, f"--workdir={remote}"]) == 0
    (remote / "result.json").unlink()
    (remote / "checkpoints/00000012.npz").unlink()
    (remote / "masks/00000012.npz").unlink()
    assert cli.main(["train", *RIGL, f"--workdir={remote}"]) == 0
    assert cli.main(["train", *RIGL, f"--workdir={remote}"]) == 0
    assert "finished: nothing to do" in capsys.readouterr().out
    results = [
        json.loads((place / "result.json").read_text(encoding="utf-8"))
        for place in (local, remote)
    ]
    for result in results:
        for name in ("wall_seconds", "seconds", "examples_per_second"):
            del result[name]
        del result["file_bytes"]  # a date is in the archive
    assert results[0] == results[1]
    for name in ("masks.npz", "model.safetensors"):
        assert (local / name).read_bytes() == (remote / name).read_bytes()
    lines = (remote / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8, 12]
    names = sorted(place.name for place in (remote / "masks").glob("0*"))
    assert names == [f"{step:08d}.npz" for step in (0, 4, 8, 12)]

    for words in (
        ["evaluate", f"--workdir={remote}"],
        ["summary", f"--workdir={remote}"],
        ["connectivity", f"--workdir={remote}"],
        ["report", bucket],
        ["train", *RIGL[:2], *RIGL[3:], "SPARSITY=None", "UPDATE_END_STEP=8"]
        + [f"INITIAL_RUN={remote}", f"--workdir={bucket}/second"],
    ):
        assert cli.main(words) == 0, capsys.readouterr().err
    assert (remote / "connectivity.png").exists()
    other = ["train", *RIGL, "SEED=4", f"--workdir={remote}"]
    assert cli.main(other) == 2
    assert "SEED = 4" in capsys.readouterr().err


def test_unknown_urls_are_refused(capsys):
    assert cli.main(["train", *RIGL, "--workdir=ftp://host/run"]) == 2
    assert "of a file system that TensorFlow has" in capsys.readouterr().err


def test_a_file_reaches_the_disk_before_it_takes_its_place(
    tmp_path, monkeypatch
):
    calls = []
    for name in ("fsync", "replace"):
        function = getattr(files.os, name)

        def call(*arguments, name=name, function=function):
            calls.append(name)
            return function(*arguments)

        monkeypatch.setattr(files.os, name, call)
    files.write_text(tmp_path / "file", "ä")
    assert calls == ["fsync", "replace", "fsync"]  # last the directory
    assert (tmp_path / "file").read_bytes() == "ä".encode()


def test_what_fails_leaves_what_was_there(tmp_path):
    place = tmp_path / "file"
    files.write_text(place, "old")
    with pytest.raises(ZeroDivisionError), files.replacing(place) as temporary:
        temporary.write_text("new", encoding="utf-8")
        raise ZeroDivisionError
    assert place.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [place]
