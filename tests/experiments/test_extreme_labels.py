"""The task of very many classes, with fewer of them."""

import json

import pytest

from rigl_tf import cli
from rigl_tf.experiments import config
from rigl_tf.experiments import runs

WORDS = [
    "tasks/extreme_labels",
    "datasets.extreme_labels.n_inputs=60",
    "datasets.extreme_labels.n_train=2000",
    "datasets.extreme_labels.n_test=200",
]


def train(tmp_path, *words):
    workdir = tmp_path / "w"
    assert cli.main(["train", *WORDS, *words, f"--workdir={workdir}"]) == 0
    return json.loads((workdir / "result.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rigl", "gse"])
def test_labels_are_learned(method, tmp_path):
    """Well above the share of the most frequent class, 2.5 %."""
    result = train(
        tmp_path,
        f"methods/{method}",
        "SPARSITY=0.9",
        "datasets.extreme_labels.n_classes=500",
        "TRAIN_STEPS=200",
        "UPDATE_END_STEP=150",
    )
    assert result["accuracy"] > 0.25


def test_test_batches_are_smaller_for_many_classes(monkeypatch):
    words = [
        *WORDS,
        *("methods/rigl", "SPARSITY=0.9"),
        "datasets.extreme_labels.n_classes=500",
    ]
    means = []
    for most_logits, n_rows in ((2**24, 256), (500 * 30, 30), (1, 1)):
        monkeypatch.setattr(runs, "_TEST_LOGITS", most_logits)
        run = runs.Run(config.parse(config.read(words))())
        batches = run._test_batches()
        assert next(iter(batches))[0].shape == (n_rows, 60)
        means.append(run.trainer.evaluate(batches))
    for other in means[1:]:
        assert other == pytest.approx(means[0], rel=1e-4)


def test_many_classes_have_no_confusion_matrix(tmp_path, capsys):
    words = ["methods/set", "SPARSITY=0.9", "TRAIN_STEPS=2"]
    words += ["UPDATE_END_STEP=1", "datasets.extreme_labels.n_classes=10001"]
    train(tmp_path, *words)
    flags = [f"--workdir={tmp_path / 'w'}", "--per_class"]
    assert cli.main(["evaluate", *flags]) == 2
    assert "at most 10,000 classes" in capsys.readouterr().err
