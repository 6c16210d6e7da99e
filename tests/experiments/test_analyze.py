"""The command `analyze`, on two short runs."""

import json

import keras
import numpy as np
import pytest

from rigl_tf import cli
from rigl_tf.masks import storage

COMMON = ["SPARSITY=0.95", "TRAIN_STEPS=60", "UPDATE_END_STEP=50"]
COMMON += ["UPDATE_INTERVAL=10", "LOG_INTERVAL=20", "CHECKPOINT_INTERVAL=20"]
COMMON += ["KEEP_CHECKPOINT_EVERY=20", "RECORD_MASKS=True"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the directory above a run of Static and one of RigL."""
    directory = tmp_path_factory.mktemp("runs")
    for method in ("static", "rigl"):
        words = ["tasks/digits_mlp", f"methods/{method}", *COMMON]
        words += [f"LABEL='{method}-0'", f"--workdir={directory / method}"]
        assert cli.main(["train", *words]) == 0
    return directory


def analyzed(kind, output, *words):
    """Run an analysis; return what its JSON file holds."""
    assert cli.main(["analyze", kind, *words, f"--output={output}"]) == 0
    written = json.loads((output / f"{kind}.json").read_text("utf-8"))
    picture = (output / f"{kind}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert written["versions"]["keras"] == keras.__version__
    return written


def result_of(run):
    return json.loads((run / "result.json").read_text("utf-8"))


@pytest.mark.slow
def test_a_line_begins_and_ends_with_the_losses_of_the_runs(
    runs, tmp_path, capsys
):
    words = ["--from=@static-0", "--to=@rigl-0", f"--in={runs}"]
    words += ["--split=test", "--points=3"]
    written = analyzed("interpolate", tmp_path, *words)
    found = written["found"]["static-0 to rigl-0"]
    assert found["t"] == [-0.2, 0, 0.5, 1, 1.2]
    assert found["examples"] == 360
    for t, method in ((0, "static"), (1, "rigl")):
        result, place = result_of(runs / method), found["t"].index(t)
        assert found["loss"][place] == pytest.approx(result["loss"], abs=1e-6)
        assert found["accuracy"][place] == pytest.approx(result["accuracy"])
    assert [run["run"] for run in written["runs"]] == ["static", "rigl"]
    assert written["runs"][1]["seed"] == 0
    output = capsys.readouterr().out
    assert "static-0 to rigl-0" in output
    assert f"{found['barrier']:.4f}" in output


@pytest.mark.slow
def test_checkpoints_are_ends_too(runs, tmp_path):
    run = f"{runs / 'rigl'}"
    words = [f"--from={run}", "--step_from=20", f"--to={run}", "--step_to=60"]
    words += ["--points=2", "--split=test"]
    written = analyzed("interpolate", tmp_path, *words)
    found = written["found"]["rigl-0 to rigl-0"]
    last = result_of(runs / "rigl")["loss"]
    assert found["loss"][found["t"].index(1)] == pytest.approx(last, abs=1e-6)
    assert found["loss"][found["t"].index(0)] > last
    assert 0 < found["jaccard"] < 1


@pytest.mark.slow
def test_curves_of_both_spaces(runs, tmp_path):
    words = ["--from", "@static-0", "@rigl-0", "--to=@rigl-0"]
    words += [f"--in={runs}"]
    words += ["--steps=20", "--points=3", "--examples=200", "--batch_size=50"]
    sparse = analyzed("bezier", tmp_path / "a", *words)["found"]
    dense = analyzed("bezier", tmp_path / "b", *words, "--space=dense")["found"]
    one = "static-0 to rigl-0"
    assert list(sparse) == list(dense) == [one, "rigl-0 to rigl-0"]
    assert sparse[one]["loss"][0] == dense[one]["loss"][0]
    assert sparse[one]["loss"][1] != dense[one]["loss"][1]


@pytest.mark.slow
def test_spectra_of_runs(runs, tmp_path, capsys):
    words = [str(runs / "static"), str(runs / "rigl"), "--examples=100"]
    words += ["--steps=5", "--probes=2"]
    found = analyzed("hessian", tmp_path, *words)["found"]
    active = sum(
        np.count_nonzero(mask)
        for mask in storage.load(runs / "rigl" / "masks.npz").values()
    )
    assert found[1]["size"] == active + 300 + 100 + 10  # and the biases
    assert found[1]["largest"] == sorted(found[1]["largest"])[::-1]
    assert f"{found[1]['size']:,}" in capsys.readouterr().out


@pytest.mark.slow
def test_gradients_at_checkpoints_and_after_updates(runs, tmp_path, capsys):
    words = [str(runs / "static"), str(runs / "rigl"), "--examples=200"]
    assert analyzed("flow", tmp_path / "without", *words)
    first = capsys.readouterr().out
    found = analyzed("flow", tmp_path, *words, "--updates")["found"]
    row = found["rigl-0"][0]
    assert f"| 20 | {row['loss']:.4f} | {row['active']:.4f} |" in first
    assert [row["step"] for row in found["rigl-0"]] == [20, 40, 60]
    for row in found["rigl-0"] + found["static-0"]:
        assert 0 < row["active"] < row["dense"]
    # Static has no updates, and RigL's last one is at step 50.
    assert ["updated" in row for row in found["rigl-0"]] == [True, True, False]
    assert not any("updated" in row for row in found["static-0"])
    updated = found["rigl-0"][0]["updated"]
    assert updated["dense"] != found["rigl-0"][0]["dense"]
    changes = [
        row["updated"]["active"] - row["active"] for row in found["rigl-0"][:2]
    ]
    n_up = sum(change > 0 for change in changes)
    output = capsys.readouterr().out
    p = 1 if n_up == 1 else 0.5
    assert f"| rigl-0 | 2 | {n_up} | {p} | {np.mean(changes):+.4f} |" in output
    assert "| static-0 | 0 | – | – | – |" in output


@pytest.mark.slow
def test_agreement_of_runs(runs, tmp_path):
    words = ["@static-0", "@rigl-0", "--reference=@rigl-0", f"--in={runs}"]
    found = analyzed("agreement", tmp_path, *words)["found"]
    accuracies = [result_of(runs / m)["accuracy"] for m in ("static", "rigl")]
    assert found["accuracies"] == pytest.approx(accuracies)
    assert found["with_reference"] == [found["disagreement"][0], 0]
    assert found["titles"] == ["static-0", "rigl-0", "rigl-0"]


def test_masks_of_a_run(runs, tmp_path):
    words = ["@rigl-0", f"--in={runs}"]
    found = analyzed("masks", tmp_path, *words)["found"]
    steps = [record["step"] for record in found["records"]]
    assert steps == [0, 20, 40, 60]
    result = result_of(runs / "rigl")
    last = found["records"][-1]
    for layer in result["layers"]:
        density = last["densities"][layer["name"]]
        assert density == pytest.approx(1 - layer["sparsity"])
    assert last["explored"] <= result["itop_rate"]
    degrees = found["degrees"]["fc1/kernel"]["outputs"]
    mask = storage.load(runs / "rigl" / "masks.npz")["fc1/kernel"]
    assert degrees == np.bincount(mask.sum(axis=0)).tolist()


def test_distributions_are_compared_without_training(tmp_path, capsys):
    words = ["tasks/mnist_lenet5", "methods/rigl", "SPARSITY=0.9"]
    found = analyzed("sparsity", tmp_path, *words)["found"]
    uniform = found["densities"]["uniform"]
    assert all(v == pytest.approx(0.1, abs=0.01) for v in uniform.values())
    # Small kernels are denser with ERK (appendix J of the RigL paper).
    erk = found["densities"]["erdos_renyi_kernel"]
    assert erk["conv1/kernel"] > erk["conv2/kernel"]
    assert "inference FLOPs" in capsys.readouterr().out


@pytest.mark.slow
def test_signals_of_first_weights(tmp_path):
    words = ["tasks/digits_mlp", "--sparsities=0.5,0.95", "--seeds=1"]
    found = analyzed("signal", tmp_path, *words)["found"]
    even = found["even"]
    assert even["None"]["0.95"][0] < 0.2 * even["None"]["0.5"][0]
    ratio = even["unit_scaled"]["0.95"][0] / even["unit_scaled"]["0.5"][0]
    assert 0.5 < ratio < 2


def test_curves_of_all_runs_below_a_directory(runs, tmp_path, capsys):
    found = analyzed("curves", tmp_path, str(runs))["found"]
    assert sorted(found) == ["rigl-0", "static-0"]
    assert [step for step, _ in found["rigl-0"]] == [20, 40, 60]
    accuracy = result_of(runs / "rigl")["accuracy"]
    assert f"{accuracy:.4f}" in capsys.readouterr().out


def test_files_lie_below_the_run_unless_named(runs):
    assert cli.main(["analyze", "masks", str(runs / "rigl")]) == 0
    names = {path.name for path in (runs / "rigl" / "analysis").iterdir()}
    assert names == {"masks.json", "masks.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["masks", "nowhere"], "which has no config.gin"),
        (["masks", "@rigl-0"], "--in=DIR"),
        (["masks", "@other", "--in={runs}"], "labels are: rigl-0, static-0"),
        (["curves", "{runs}", "--y=height"], "must be a number of metrics"),
        (["hessian", "{runs}/rigl", "--examples=9999"], "at most the 1,437"),
        (["hessian", "{runs}/rigl", "--split=all"], "--split"),
        (["hessian", "{runs}/rigl", "--step=7"], "steps 20, 40, 60"),
        (["agreement", "{runs}/rigl"], "two or more"),
        (["sparsity", "tasks/digits_mlp", "methods/dense"], "dense method"),
        (["signal", "tasks/digits_mlp", "--sparsities=1"], "fractions in"),
        (["signal", "tasks/wikitext103_gru"], "of known shape"),
        (["interpolate", "--from={runs}/rigl"], "required: --to"),
        ([], "required: ANALYSIS"),
    ],
)
def test_mistakes_are_told_on_one_line(words, message, runs, tmp_path, capsys):
    words = [word.format(runs=runs) for word in words]
    output = [f"--output={tmp_path / 'out'}"] if words else []
    assert cli.main(["analyze", *words, *output]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
