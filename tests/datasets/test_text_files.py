"""Archives of texts that no ordinary program wrote."""

import random
import zipfile

import pytest

from rigl_tf import cli
from rigl_tf.datasets import text_files


def write(path, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("folder/", "")
        archive.writestr("b.txt", "second")
        archive.writestr("a.txt", "first ")
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        with archive.open(nameless, "w") as stream:
            stream.write(b"nothing")
    return path


def test_entries_without_a_name_are_passed_over(tmp_path):
    text = text_files.read(write(tmp_path / "text.zip"))
    assert bytes(text) == b"first second"


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_archives_are_read_or_refused(kind, tmp_path):
    path = write(tmp_path / "text.zip", kind)
    sound = path.read_bytes()
    n_refused = 0
    for seed in range(300):
        rng = random.Random(seed)
        data = bytearray(sound[: rng.choice([len(sound), rng.randrange(99)])])
        for _ in range(min(len(data), rng.randint(0, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            text_files.read(path)
        except OSError:
            n_refused += 1
    assert n_refused > 100


@pytest.mark.parametrize(
    "name, message",
    [
        ("mnist:9.9.9", "cannot load 'mnist:9.9.9'"),
        ("mnist/none", "cannot load 'mnist/none'"),
        ("nowhere", "knows no data set"),
        ("", "cannot load ''"),
        ("../mnist", "cannot load"),
    ],
)
def test_data_sets_that_do_not_exist_are_named(name, message, tmp_path, capsys):
    words = ["prepare", name, f"--data_dir={tmp_path}"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
