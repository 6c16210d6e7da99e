"""Published rows, the sweeps that reproduce them, and reports beside them."""

import collections
import csv
import io
import json

import pytest

from rigl_tf import cli
from rigl_tf.experiments import config
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import sweep_file

SWEEPS = sorted(
    {run.partition("/")[0] for run in published_accuracies.by_run()}
)
TASKS = {
    ("ImageNet-2012", "ResNet-50"): "imagenet_resnet50",
    ("ImageNet-2012", "MobileNet-v1"): "imagenet_mobilenet_v1",
    ("CIFAR-10", "WRN-22-2"): "cifar10_wrn22_2",
    ("CIFAR-10 (45k/5k/10k)", "WRN-22-2"): "cifar10_wrn22_2",
    ("CIFAR-100", "ResNet-50 (3x3 stem)"): "cifar100_resnet50",
    ("MNIST", "LeNet5"): "mnist_lenet5",
    ("MNIST", "LeNet-300-100"): "mnist_compression",
}
# Sweeps with several runs for a row, and runs without.
OF_SEEDS = {"gradient_flow", "mnist_compression"}
DISTRIBUTIONS = {
    "uniform": "uniform",
    "uniform-budget": "uniform",
    "Random": "uniform",
    "ERK": "erdos_renyi_kernel",
}
# As the tables call them -> our method; others say what they are.
METHODS = {
    "RigL": "rigl",
    "SET": "set",
    "Static": "static",
    "SNIP": "snip",
    "Dense": "dense",
    "Small-Dense": "small_dense",
    "Small Dense": "small_dense",
    "Lottery": "lottery",
    "RigL-SG": "rigl_sg",
    "RigL-SM": "rigl_sm",
    "RigL-struct": "rigl",
    "RigL+": "rigl",
    "LT": "lottery",
    "Scratch": "scratch",
    "Scratch (diff. init)": "scratch",
    "5 diff. pruned": "pruning",
}


def first_runs(name):
    """Return the first run of each published row of a sweep, by the row."""
    found = {}
    for run in sweep_file.read(f"sweeps/{name}"):
        for word in run.words:
            if word.startswith("PUBLISHED="):
                found.setdefault(word.removeprefix("PUBLISHED="), run)
    return found


def test_rows_are_sound():
    rows = published_accuracies.rows()
    assert len(rows) > 400
    for row in rows:
        assert row["reproduce"] == ("yes" if row["run"] else "reference")
        assert row["source"] and row["accuracy"]
        if row["run"]:
            most = 99 if row["dataset"] == "MNIST" else 96
            assert 40 < float(row["accuracy"]) < most
    runs = [row["run"] for row in rows if row["run"]]
    assert len(runs) == len(set(runs))


def test_known_rows_are_there():
    """Spot checks, typed from the papers."""
    for run, accuracy, std in (
        ("resnet50/rigl_erk_80_5x", "77.1", "0.06"),
        ("resnet50/static_uniform_96_5", "55.4", "0.06"),
        ("mobilenet/rigl_erk_90_5x", "68.1", "0.11"),
        ("mobilenet/big_sparse_erk_75_5x", "77.0", "0.08"),
        ("lottery/lottery_80", "70.82", "0.07"),
        ("cifar10/rigl_erk_90", "92.9", ""),
        ("cifar10/static_erk_90", "91.5", ""),
        ("repro_cifar10/rigl_erk_90_2x", "92.7", "0.37"),
        ("repro_cifar100/rigl_uniform_90_3x", "73.7", "0.16"),
        ("gradient_flow/lottery", "98.52", "0.02"),
        ("mnist_compression/rigl", "98.52", ""),
    ):
        row = published_accuracies.by_run()[run]
        assert (row["accuracy"], row["std"]) == (accuracy, std), run


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_expand_to_the_published_rows(name):
    rows = published_accuracies.table(name)
    by_run = first_runs(name)
    assert by_run.keys() == {row["run"] for row in rows}
    if name not in OF_SEEDS:
        labels = [run.label for run in sweep_file.read(f"sweeps/{name}")]
        assert collections.Counter(
            f"{name}/{label}" for label in labels
        ) == collections.Counter(row["run"] for row in rows)
    for row in rows:
        words = by_run[row["run"]].words
        settings = dict(w.split("=", 1) for w in words if "=" in w)
        assert f"tasks/{TASKS[row['dataset'], row['model']]}" in words
        method = METHODS.get(row["as_published"])
        assert method is None or f"methods/{method}" in words
        multiplier = float(settings.get("TRAINING_MULTIPLIER", 1))
        assert multiplier == float(row["training_multiplier"] or 1)
        if settings.get("SPARSITY", "None") != "None":
            assert float(settings["SPARSITY"]) == float(row["sparsity"])
        else:
            goes_on = row["as_published"] == "Prune restart"
            masks = "INITIAL_RUN" if goes_on else "INITIAL_MASKS"
            assert row["sparsity"] == "0" or masks in settings
        if row["distribution"] in DISTRIBUTIONS and "INITIAL_MASKS" not in (
            settings
        ):
            found = settings.get("DISTRIBUTION", "erdos_renyi_kernel")
            assert found == DISTRIBUTIONS[row["distribution"]]
        held_out = name == "repro_cifar10"
        assert held_out == ("datasets.cifar10.n_validation" in settings)


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_are_experiments(name, tmp_path):
    """Every row's line builds its experiment, with the row's id."""
    sweep_file.resolve(sweep_file.read(f"sweeps/{name}"), tmp_path)
    for run in first_runs(name).values():
        words = [w for w in run.words if not w.startswith("INITIAL_")]
        needs_masks = {"methods/lottery", "methods/scratch", "SPARSITY=None"}
        if needs_masks & set(words):
            words = [w for w in words if w != "SPARSITY=None"]
            words += ["SPARSITY=0.8", "SHUFFLE_MASKS=False"]
            words += ["INITIAL_STEP=None"]
        job = config.parse(config.read(words))()
        assert job.published.startswith(f"{name}/")


def test_more_words_are_for_every_run(capsys):
    words = ["sweeps/cifar10", "SEED=7", "hardware/gpu", "--workdir=runs/c"]
    assert cli.main(["sweep", *words, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(published_accuracies.table("cifar10"))
    assert all("SEED=7 hardware/gpu" in line for line in lines)


@pytest.fixture
def finished(tmp_path):
    """Return a directory with results of one published and one other run."""
    for name, fields in {
        "a": {"published": "cifar10/rigl_erk_90", "accuracy": 0.93, "seed": 0},
        "b": {"published": "cifar10/rigl_erk_90", "accuracy": 0.92, "seed": 1},
        "c": {"accuracy": 0.5, "method": "set", "training_multiplier": 2},
    }.items():
        result = {
            "task": "cifar10_wrn22_2",
            "method": "rigl",
            "distribution": "erdos_renyi_kernel",
            "sparsity": 0.9,
            "pattern": "unstructured",
            "training_multiplier": 1,
            "published": None,
            "inference_flops_ratio": 0.17,
            "train_flops_ratio_run": 0.18,
            "settings": {},
            **fields,
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(
            json.dumps(result), encoding="utf-8"
        )
    return tmp_path


def test_reports_put_ours_beside_the_published(finished, capsys):
    assert cli.main(["report", str(finished)]) == 0
    text = capsys.readouterr().out
    assert "| 92.50 ± 0.71 | 2 | 92.9 |" in text
    assert "| 2x | 50.00 | 1 | – |" in text
    words = ["report", str(finished), "--published=cifar10"]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(published_accuracies.table("cifar10"))
    assert sum("| – | 0 |" in line for line in lines) == len(lines) - 3
    assert sum("92.50 ± 0.71" in line for line in lines) == 1


def test_reports_are_written_as_csv_and_html(finished, capsys):
    words = ["report", str(finished), "--format=csv"]
    assert cli.main(words) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["published_accuracy"] for row in rows} == {"92.9", ""}
    words = ["report", str(finished), "--published=cifar10", "--format=html"]
    assert cli.main(words) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>")
    assert "data:image/png;base64," in page and "92.50 ± 0.71" in page


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["--published=resnet"],
            "Published tables are cifar10, gradient_flow, lottery",
        ),
        (["--format=pdf"], "md, csv, html"),
    ],
)
def test_bad_reports_are_refused(words, message, finished, capsys):
    assert cli.main(["report", str(finished), *words]) == 2
    assert message in capsys.readouterr().err


def test_unknown_rows_are_refused(capsys, tmp_path):
    words = ["tasks/digits_mlp", "methods/dense", "PUBLISHED=a/b"]
    assert cli.main(["train", *words, f"--workdir={tmp_path / 'w'}"]) == 2
    assert "must name a published row" in capsys.readouterr().err
