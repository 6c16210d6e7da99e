"""Predictions that runs keep, and the comparison of two runs by them."""

import json

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn import datasets
from sklearn import model_selection
import tiny

from rigl_tf import archives
from rigl_tf import cli


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the work directories of two runs with predictions."""
    root = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        words = [*tiny.WORDS, "PREDICTIONS=True", f"SEED={seed}"]
        assert cli.main(["train", *words, f"--workdir={root / str(seed)}"]) == 0
    return root / "0", root / "1"


def predictions(workdir):
    with np.load(workdir / "predictions.npz") as found:
        return found["labels"], found["predicted"]


@pytest.mark.slow
def test_predictions_are_those_of_the_exported_model(trained):
    for workdir in trained:
        labels, predicted = predictions(workdir)
        text = (workdir / "result.json").read_text(encoding="utf-8")
        result = json.loads(text)
        assert result["test_examples"] == len(labels) == 360
        assert result["accuracy"] == pytest.approx((labels == predicted).mean())
        assert "predictions" not in str(result["settings"]).lower()
        digits = datasets.load_digits()
        _, inputs, _, true = model_selection.train_test_split(
            digits.images.astype("float32"),
            digits.target,
            test_size=360,
            random_state=0,
            stratify=digits.target,
        )
        np.testing.assert_array_equal(np.bincount(labels), np.bincount(true))
        model = keras.models.load_model(workdir / "model.keras")
        counts = np.bincount(np.argmax(model(inputs / 16), 1), minlength=10)
        np.testing.assert_array_equal(
            np.bincount(predicted, minlength=10), counts
        )


def test_compare_counts_what_only_one_run_has_right(trained, capsys):
    (labels, a), (_, b) = map(predictions, trained)
    first = sum(x == y != z for y, x, z in zip(labels, a, b))
    second = sum(x == y != z for y, x, z in zip(labels, b, a))
    capsys.readouterr()
    assert cli.main(["compare", *map(str, trained)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[-3:] == ["only", "this", "right"]
    for line, classes, only in ((lines[0], a, first), (lines[1], b, second)):
        accuracy = 100 * np.mean(classes == labels)
        cells = line.split()[1:]
        n_right = str((classes == labels).sum())
        assert cells == ["rigl", f"{accuracy:.2f}", n_right, str(only)]
    p = 2 * stats.binom.cdf(min(first, second), first + second, 0.5)
    assert lines[-1].endswith(f"p = {min(p, 1):.2g}")
    assert "360 test examples" in lines[-2]


def write(workdir, labels, predicted):
    workdir.mkdir()
    result = {"task": "t", "method": workdir.name}
    (workdir / "result.json").write_text(json.dumps(result), encoding="utf-8")
    arrays = {"labels": labels, "predicted": predicted}
    arrays = {name: np.asarray(a, np.int32) for name, a in arrays.items()}
    archives.write(workdir / "predictions.npz", arrays)
    return str(workdir)


def test_compare_by_hand(tmp_path, capsys):
    """The first alone is right 9 times, the second once: p = 22 / 1024."""
    labels = [1] * 20
    a = write(tmp_path / "a", labels, [1] * 19 + [0])
    b = write(tmp_path / "b", labels, [1] * 10 + [2] * 9 + [1])
    assert cli.main(["compare", a, b]) == 0
    text = capsys.readouterr().out
    assert "20 test examples, 10 predicted differently" in text
    assert text.endswith("p = 0.021\n")
    assert cli.main(["compare", a, a]) == 0
    assert capsys.readouterr().out.endswith("p = 1\n")


def test_runs_that_cannot_be_compared_are_refused(tmp_path, capsys):
    a = write(tmp_path / "a", [1, 2], [1, 2])
    b = write(tmp_path / "b", [2, 1], [1, 2])
    short = write(tmp_path / "c", [1, 2], [1])
    empty = write(tmp_path / "d", [], [])
    plain = tmp_path / "plain"
    plain.mkdir()
    for other, message in (
        (b, "same test examples, in the same order"),
        (short, "must hold 'predicted' as int32 of shape (2)"),
        (empty, "must hold predictions, has none"),
        (str(plain), "train with PREDICTIONS=True"),
    ):
        assert cli.main(["compare", a, other]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["compare", a]) == 2


def test_a_text_has_no_class_per_example(capsys, tmp_path):
    words = ["tasks/wikitext103_gru", "methods/dense", "FAKE_DATA=True"]
    words += ["PREDICTIONS=True", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 2
    assert "keeps one class per test example" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
