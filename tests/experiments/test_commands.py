import json
import pathlib
import subprocess
import sys
import zipfile

import keras
import pytest
import tiny

from rigl_tf import cli
from rigl_tf.experiments import report_formats
from rigl_tf.experiments import results
from rigl_tf.masks import storage

SHORT = ["TRAIN_STEPS=60", "UPDATE_END_STEP=40", "LOG_INTERVAL=20"]
RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98", *SHORT]
RECORDED = [*RIGL, "RECORD_MASKS=True", "EVALUATE_INTERVAL=30"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the work directory of a short run with recorded masks."""
    workdir = tmp_path_factory.mktemp("run") / "w"
    assert cli.main(["train", *RECORDED, f"--workdir={workdir}"]) == 0
    return workdir


def read_result(workdir):
    return json.loads((workdir / "result.json").read_text(encoding="utf-8"))


def test_a_run_leaves_its_results(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        ".lock",
        "checkpoints",
        "config.gin",
        "masks",
        "masks.npz",
        "metrics.jsonl",
        "model.keras",
        "model.safetensors",
        "result.json",
    }
    result = read_result(finished)
    assert result["task"] == "digits_mlp" and result["method"] == "rigl"
    assert result["steps"] == 60 and result["train_examples"] == 6000
    assert result["sparsity"] == 0.98
    assert result["sparsity_achieved"] == pytest.approx(0.98, abs=1e-4)
    assert 0 <= result["accuracy"] <= 1.0
    assert result["inference_flops_ratio"] < 0.03
    assert result["compact_bytes"] < result["file_bytes"] / 4
    # 784 -> 64 inputs: 19,200 + 30,000 + 1,000 kernel weights.
    assert [layer["shape"] for layer in result["layers"]] == [
        [64, 300],
        [300, 100],
        [100, 10],
    ]


@pytest.mark.process
def test_the_exported_model_is_plain_and_has_the_masks(finished):
    code = (
        "import sys, keras; m = keras.models.load_model(sys.argv[1]);"
        "assert 'rigl_tf' not in sys.modules;"
        "print([int((w != 0).sum()) for w in m.get_weights()[::2]])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(finished / "model.keras")],
        capture_output=True,
        text=True,
        check=True,
        cwd=finished,
    )
    nonzero = json.loads(run.stdout.strip().splitlines()[-1])
    active = [layer["n_active"] for layer in read_result(finished)["layers"]]
    masks = storage.load(finished / "masks.npz")
    assert [int(mask.sum()) for mask in masks.values()] == active
    model = keras.models.load_model(finished / "model.keras")
    for name, mask in masks.items():
        kernel = model.get_layer(name.split("/")[0]).kernel.numpy()
        assert not kernel[~mask].any()
    assert all(0.8 * a < n <= a for n, a in zip(nonzero, active))


def test_metrics_are_logged(finished):
    lines = (
        (finished / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    )
    records = [json.loads(line) for line in lines]
    logged = [r["step"] for r in records if "loss" in r]
    evaluated = [r["step"] for r in records if "test_accuracy" in r]
    assert logged == [20, 40, 60] and evaluated == [30, 60]
    result = read_result(finished)
    assert records[-1]["test_accuracy"] == pytest.approx(result["accuracy"])


def test_a_finished_run_is_not_repeated(finished, capsys):
    before = (finished / "result.json").read_bytes()
    assert cli.main(["train", *RECORDED, f"--workdir={finished}"]) == 0
    assert "finished" in capsys.readouterr().out
    assert (finished / "result.json").read_bytes() == before


def test_the_written_configuration_repeats_the_run(finished, tmp_path):
    words = [str(finished / "config.gin"), f"--workdir={tmp_path / 'again'}"]
    assert cli.main(["train", *words]) == 0
    a, b = read_result(finished), read_result(tmp_path / "again")
    assert (a["accuracy"], a["loss"]) == (b["accuracy"], b["loss"])
    assert a["layers"] == b["layers"]


def test_connectivity_draws_a_strip_and_a_movie(finished, capsys):
    assert cli.main(["connectivity", f"--workdir={finished}"]) == 0
    assert "share of input connections" in capsys.readouterr().out
    import PIL.Image

    with PIL.Image.open(finished / "connectivity.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    with PIL.Image.open(finished / "connectivity.gif") as movie:
        assert movie.n_frames >= 2


def test_sweeps_train_each_line_once(tmp_path, capsys):
    sweep = tmp_path / "sweep.txt"
    sweep.write_text(
        f"tasks/digits_mlp methods/static SPARSITY=0.9 {' '.join(SHORT)}\n"
        f"tasks/digits_mlp methods/dense {' '.join(SHORT)}\n",
        encoding="utf-8",
    )
    words = ["sweep", str(sweep), f"--workdir={tmp_path / 'runs'}"]
    assert cli.main([*words, "--dry_run"]) == 0
    assert not (tmp_path / "runs").exists()
    assert cli.main(words) == 0
    capsys.readouterr()
    assert cli.main(words) == 0
    assert capsys.readouterr().out.count("nothing to do") == 2
    assert cli.main(["report", str(tmp_path / "runs")]) == 0
    table = capsys.readouterr().out
    assert "| digits_mlp | dense | – | 0 |" in table
    assert "| digits_mlp | static | erdos_renyi_kernel | 0.9 |" in table


def test_reports_have_mean_and_deviation(tmp_path):
    for index, accuracy in enumerate((0.5, 0.7)):
        run = tmp_path / str(index)
        run.mkdir()
        fields = {
            "task": "t",
            "method": "m",
            "distribution": "uniform",
            "sparsity": 0.5,
            "accuracy": accuracy,
            "settings": {},
        }
        (run / "result.json").write_text(json.dumps(fields), encoding="utf-8")
    (row,) = results.rows(tmp_path)
    assert row.n == 2
    assert row.accuracy == pytest.approx(0.6)
    assert row.accuracy_std == pytest.approx(0.1 * 2**0.5)
    assert "60.00 ± 14.14 | 2 |" in report_formats.markdown([row])


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "Name a task and a method"),
        (["train", "tasks/digits_mlp", "--workdri=x"], "--workdri"),
        (["train", *RIGL, "SPARSITY=1.5"], "[0, 1)"),
        (["train", *RIGL, "SPARSITY=high"], "must be a number"),
        (["train", *RIGL, "DROP_FRACTION=2"], "drop_fraction=2"),
        (["train", *RIGL, "UPDATE_INTERVAL=0"], "update_interval=0"),
        (["train", *RIGL, "UPDATE_END_STEP=99"], "update_end_step=99"),
        (["train", *RIGL, "UPDATE_END_STEP=None"], "needs an end"),
        (["train", *RIGL, "TRAIN_STEPS=0"], "train_steps"),
        (["train", *RIGL, "BATCH_SIZE=5000"], "at most 1437"),
        (["train", *RIGL, "DISTRIBUTION=ekr"], "erdos_renyi_kernel"),
        (["train", *RIGL, "DENSE_LAYERS=['nope']"], "names no kernel"),
        (
            ["train", "tasks/digits_mlp", "methods/dense", "SPARSITY=0.5"],
            "Dense training has no masks",
        ),
        (["report", "nowhere"], "needs finished runs"),
        (["connectivity", "--workdir=nowhere"], "RECORD_MASKS=True"),
        (["sweep", "nowhere", "--workdir=w"], "No sweep 'nowhere'"),
    ],
)
def test_mistakes_are_told_on_one_line(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("rigl_tf: ") and error.count("\n") == 1
    assert not list(pathlib.Path().rglob("result.json"))


def test_masks_must_have_been_recorded(finished, tmp_path, capsys):
    workdir = tmp_path / "w"
    assert cli.main(["train", *RIGL, f"--workdir={workdir}"]) == 0
    assert cli.main(["connectivity", f"--workdir={workdir}"]) == 2
    assert "RECORD_MASKS=True" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["flipped", "empty", "text"])
def test_damaged_model_files_are_named(damage, tmp_path, capsys):
    path = tmp_path / "model.keras"
    tiny.mlp().save(path)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("no model", encoding="utf-8")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
    assert cli.main(["count", f"--model={path}"]) == 2
    error = capsys.readouterr().err
    assert "must be a .keras file" in error and error.count("\n") == 1
