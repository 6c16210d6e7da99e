"""The commands `export`, `inspect` and `benchmark_inference`."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from rigl_tf import cli
from rigl_tf import models
from rigl_tf.experiments import exporting
from rigl_tf.experiments import inference_benchmark
from rigl_tf.export import latency

pytest.importorskip("ai_edge_litert")

WORDS = [
    "tasks/digits_mlp",
    "methods/rigl",
    "SPARSITY=0.9",
    "TRAIN_STEPS=300",
    "UPDATE_END_STEP=200",
    "LEARNING_RATE=0.1",
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "digits"
    assert cli.main(["train", *WORDS, f"--workdir={directory}"]) == 0
    return directory


def exported(workdir, *words):
    return cli.main(["export", f"--workdir={workdir}", *words])


@pytest.mark.parametrize(
    ("format", "precision", "name"),
    [
        ("keras", "f32", "model.keras"),
        ("litert", "f32", "model.tflite"),
        ("litert", "int8", "model.tflite"),
        ("safetensors", "f16", "model.safetensors"),
    ],
)
def test_a_run_is_exported(format, precision, name, workdir, capsys):
    words = [f"--format={format}", f"--precision={precision}"]
    assert exported(workdir, *words) == 0
    directory = workdir / "export" / f"{format}-{precision}"
    names = {path.name for path in directory.iterdir()}
    assert names == {name, "export.json", "README.md"}
    written = json.loads((directory / "export.json").read_text("utf-8"))
    output = capsys.readouterr().out
    result = json.loads((workdir / "result.json").read_text("utf-8"))
    assert written["zeros"] == pytest.approx(0.9, abs=0.01)
    assert f"{written['bytes']:,}" in output
    if format != "safetensors":  # weights alone answer nothing
        assert written["n_test"] == 360
        off = abs(written["accuracy"] - result["accuracy"])
        assert off <= (0.01 if precision == "int8" else 1e-6)
        assert f"test accuracy of this file | {written['accuracy']:.4f}" in (
            directory / "README.md"
        ).read_text("utf-8")


def test_a_file_is_exported(workdir, tmp_path, capsys):
    words = ["export", f"--model={workdir / 'model.keras'}"]
    words += ["--format=litert", f"--output={tmp_path / 'out'}"]
    assert cli.main(words) == 0
    assert (tmp_path / "out" / "model.tflite").exists()
    assert cli.main(["inspect", str(tmp_path / "out" / "model.tflite")]) == 0
    output = capsys.readouterr().out
    assert "csr" in output and "300 x 64" in output
    assert "no 1x1 convolutions for XNNPACK" in output


def test_a_worse_file_is_refused(workdir, tmp_path, monkeypatch, capsys):
    counts = itertools.cycle([90, 95])
    monkeypatch.setattr(exporting, "_count_right", lambda *_: next(counts))
    out = tmp_path / "out"
    assert exported(workdir, "--format=keras", f"--output={out}") == 2
    assert "an accuracy of 0.5000 instead of 0.5278" in capsys.readouterr().err
    assert not list(tmp_path.rglob("model*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "required: --format"),
        (("--format=torch",), "`format` must be one of keras"),
        (("--format=onnx", "--precision=int8"), "`precision of onnx`"),
        (("--format=litert", "--batch=0"), "`batch` must be at least 1"),
        (("--format=keras", "--model=x.keras"), "either --workdir"),
        (("--format=litert", "--ready_for=arm"), "no 1x1 convolutions"),
    ],
)
def test_mistakes_of_export(words, message, workdir, tmp_path, capsys):
    output = f"--output={tmp_path / 'out'}"
    assert exported(workdir, *words, output) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "--format=keras"], "either --workdir"),
        (["export", "--format=keras", "--workdir=nowhere"], "no config.gin"),
        (["export", "--format=keras", "--model=nothing.keras"], "nothing.ker"),
        (["inspect", "nothing.tflite"], "nothing.tflite"),
        (["benchmark_inference", "--workdir=x", "--batch=0"], "`--batch` must"),
        (["benchmark_inference", "--workdir=x", "--rounds=0"], "`--rounds`"),
    ],
)
def test_other_mistakes(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_unfinished_runs_are_told(workdir, tmp_path, capsys):
    (tmp_path / "config.gin").write_bytes((workdir / "config.gin").read_bytes())
    assert exported(tmp_path, "--format=keras") == 2
    assert "no result.json" in capsys.readouterr().err


@pytest.mark.slow
def test_inference_is_timed(workdir, tmp_path, monkeypatch, capsys):
    """In this process: those of the command line are started elsewhere."""
    monkeypatch.setattr(
        latency, "_in_process", lambda function, *args: function(*args)
    )
    monkeypatch.setattr(
        latency,
        "_limited",
        lambda format, _: latency.formats.FORMATS[format].run,
    )
    words = [f"--workdir={workdir}", "--formats=keras,litert"]
    words += ["--rounds=3", f"--output={tmp_path}"]
    assert cli.main(["benchmark_inference", *words]) == 0
    rows = inference_benchmark.read_rows(tmp_path)
    assert [(r["format"], r["weights"], r["batch"]) for r in rows] == [
        (name, kind, batch)
        for name in ("keras", "litert")
        for batch in (1, 32)
        for kind in ("dense", "sparse")
    ]
    for dense, sparse in zip(rows[::2], rows[1::2]):
        assert dense["speedup"] == 1
        ratio = dense["median_ms"] / sparse["median_ms"]
        assert sparse["speedup"] == pytest.approx(ratio)
        assert dense["median_ms"] <= dense["p95_ms"]
    text = (tmp_path / "README.md").read_text("utf-8")
    assert text.rstrip() in capsys.readouterr().out
    assert (tmp_path / "latency.png").stat().st_size > 1000
    assert (
        cli.main(
            ["benchmark_inference", f"--workdir={workdir}", "--formats=scipy"]
        )
        == 2
    )
    assert "`--formats` must be one of" in capsys.readouterr().err


def test_cards_show_what_was_timed_before(workdir, capsys):
    rows = [
        dataclasses.asdict(
            latency.Latency(name, kind, 1, 1.23456, 2, 3, 4, 5, 6)
        )
        for name in ("keras", "litert")
        for kind in ("dense", "sparse")
    ]
    place = workdir / "export" / "inference" / "latency.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"rows": rows}))
    assert exported(workdir, "--format=keras") == 0
    card = (workdir / "export/keras-f32/README.md").read_text("utf-8")
    assert card.count("| 1.235 |") == 2 and "litert" not in card
    place.write_text("[]")
    assert exported(workdir, "--format=keras") == 2
    assert "has no rows" in capsys.readouterr().err
    place.unlink()


@pytest.mark.parametrize(
    "words", [["export", "--format=keras"], ["benchmark_inference"]]
)
def test_files_of_others_are_not_overwritten(words, workdir, tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    words = [*words, f"--workdir={workdir}", f"--output={tmp_path}"]
    assert cli.main(words) == 2
    assert "must be a directory that is new" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_dead_networks_are_told(tmp_path, capsys):
    net = models.mlp((4,), 2, hidden=(3,))
    net.layers[1].kernel.assign(np.zeros((4, 3)))
    net.save(tmp_path / "dead.keras")
    words = [f"--model={tmp_path / 'dead.keras'}", "--format=keras"]
    assert cli.main(["export", *words]) == 0
    assert "do not depend on its inputs" in capsys.readouterr().err


def test_dense_twins_have_no_zeros(workdir):
    model = exporting.of_file(workdir / "model.keras").model
    before = [variable.numpy() for variable in model.variables]
    twin = latency.dense_twin(model)
    for variable, array in zip(twin.trainable_variables, before):
        found = variable.numpy()
        if found.ndim > 1:
            assert (found != 0).all()
        np.testing.assert_array_equal(found[array != 0], array[array != 0])
    for variable, array in zip(model.variables, before):
        np.testing.assert_array_equal(variable, array)


def test_slow_files_are_told():
    row = latency.Latency("litert", "sparse", 32, 1, 1, 1, 0.5, 1, 1)
    fast = latency.dataclasses.replace(row, speedup=1.2)
    assert latency.remarks([row, fast]) == [
        "litert, batch 32: not faster than dense (0.50 times as fast)."
    ]
    assert latency.processor()
