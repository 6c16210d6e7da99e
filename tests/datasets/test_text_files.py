"""Texts from files, directories and archives, whole and damaged."""

import io
import random
import tracemalloc
import zipfile

import numpy as np
import pytest

from rigl_tf import cli
from rigl_tf import datasets
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


def test_texts_come_from_files_directories_and_archives(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_bytes(b"there")
    (tmp_path / "b" / "1.txt").write_bytes(b"hello ")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("2.txt", "there")
        archive.writestr("1.txt", "hello ")
    (tmp_path / "one.txt").write_bytes(b"hello there")
    for name in ("b", "a.zip", "one.txt"):
        assert text_files.read(tmp_path / name).tobytes() == b"hello there"
    data = datasets.plain_text(tmp_path / "b", tmp_path / "a.zip", 2)
    data.check(2)
    (tmp_path / "empty").write_bytes(b"")
    for bad, error, text in (
        (tmp_path / "none", FileNotFoundError, "No text"),
        (tmp_path / "empty", ValueError, "two characters"),
    ):
        with pytest.raises(error, match=text):
            datasets.plain_text(bad, bad).check(1)
    with pytest.raises(ValueError, match="at most 5"):
        data.check(6)


def test_large_archives_need_little_memory(tmp_path):
    block = np.random.default_rng(0).bytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with archive.open("text", "w") as member:
            for _ in range(48):
                member.write(block)
    tracemalloc.start()
    text = text_files.read(tmp_path / "a.zip")
    text_files.count_tokens(text)
    data = datasets.TextDataset("text", lambda: text, lambda: text, 8)
    next(iter(data.train(32, 0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text) == 48 << 20
    assert peak < 24 << 20


def archive_of(tmp_path, **splits):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, text in splits.items():
            archive.writestr(f"wikitext-103/wiki.{split}.tokens", text)
    path = tmp_path / "wikitext-103-v1.zip"
    path.write_bytes(stream.getvalue())
    return path


def test_wikitext_is_unpacked_and_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(text_files._TOKENS, "wikitext103", (5, 3, 2))
    words = ["prepare", "wikitext103", f"--data_dir={tmp_path}"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "wikitext-103-v1.zip" in error and "https://" in error
    splits = {"train": " a b \n c \n", "valid": " a \n b", "test": "a \n"}
    path = archive_of(tmp_path, **splits)
    # Training reads the archive itself, too.
    data = datasets.wikitext103(str(tmp_path), sequence=2)
    data.check(2)
    assert cli.main(words) == 0
    assert "train 10, valid 6, test 3 characters" in capsys.readouterr().out
    path.unlink()
    assert cli.main(words) == 0
    (tmp_path / "wikitext-103" / "wiki.valid.tokens").write_text(
        "a b c d", encoding="utf-8"
    )
    assert cli.main(words) == 2
    assert "must hold 3 tokens" in capsys.readouterr().err


def test_damaged_archives_are_named(tmp_path, capsys):
    path = archive_of(tmp_path, train="a " * 5000, valid="b", test="c")
    content = bytearray(path.read_bytes())
    content[50:60] = bytes(10)
    path.write_bytes(content)
    words = ["prepare", "wikitext103", f"--data_dir={tmp_path}"]
    assert cli.main(words) == 2
    assert "is damaged" in capsys.readouterr().err
    path.write_bytes(b"no archive")
    assert cli.main(words) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "field, value, message",
    [((6, 8), 1, "is encrypted"), ((8, 10), 9, "not supported")],
    ids=["locked", "new"],
)
def test_archives_that_cannot_be_read_are_named(
    field, value, message, tmp_path, capsys
):
    path = archive_of(tmp_path, train="a", valid="b", test="c")
    content = bytearray(path.read_bytes())
    for mark, place in zip((b"PK\x03\x04", b"PK\x01\x02"), field):
        content[content.find(mark) + place] = value
    path.write_bytes(content)
    assert cli.main(["prepare", "wikitext103", f"--data_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert message in error and "unpack it with another program" in error


def test_wikitext_is_the_published_one(text_dir):
    tokens = text_files._TOKENS["wikitext103"]
    for split, expected in zip(text_files.SPLITS[1:], tokens[1:]):
        text = text_files.wikitext("wikitext103", split, text_dir)
        assert text_files.count_tokens(text) == expected
        words = text.tobytes().split()
        assert len(words) + text.tobytes().count(b"\n") == expected
    with pytest.raises(FileNotFoundError, match="rigl_tf prepare wikitext103"):
        datasets.wikitext103(text_dir).check(1)
