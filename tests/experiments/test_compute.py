"""COMPUTE makes the layers of an experiment truly sparse."""

import json

import keras
import numpy as np
import pytest
from scipy import sparse as scipy_sparse
import tiny

from rigl_tf import cli

WORDS = [*tiny.WORDS, "DENSE_LAYERS=['fc3']"]
# What differs between two runs with the same connections.
_OTHER = ("settings", "wall_seconds", "seconds", "examples_per_second")


def trained(workdir, *words):
    assert cli.main(["train", *WORDS, *words, f"--workdir={workdir}"]) == 0
    return json.loads((workdir / "result.json").read_text())


def test_results_are_those_of_masked_training(tmp_path):
    """Over 12 steps and 4 updates; later, rounding moves connections."""
    masked = trained(tmp_path / "masked")
    sparse = trained(tmp_path / "sparse", "COMPUTE=sparse")
    assert sparse["settings"]["COMPUTE"] == "sparse"
    assert sparse.keys() == masked.keys()
    for name in masked.keys() - {*_OTHER, "layers", "file_bytes"}:
        expected = masked[name]
        if isinstance(expected, float):
            expected = pytest.approx(expected, rel=1e-4)
        assert sparse[name] == expected, name
    with (
        np.load(tmp_path / "masked" / "masks.npz") as theirs,
        np.load(tmp_path / "sparse" / "masks.npz") as ours,
    ):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.slow
def test_files_hold_the_same_kernels(tmp_path):
    trained(tmp_path / "run", "COMPUTE=sparse")
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    for name in ("fc1", "fc2"):
        file = tmp_path / "run" / "sparse" / f"{name}.kernel.npz"
        np.testing.assert_array_equal(
            scipy_sparse.load_npz(file).toarray(),
            model.get_layer(name).kernel.numpy(),
        )


@pytest.mark.slow
def test_blocks_are_trained_too(tmp_path):
    words = ["COMPUTE=block", "PATTERN=block_4x4", "SPARSITY=0.8"]
    words += ["DENSE_LAYERS=['fc3']"]
    result = trained(tmp_path / "run", *words)
    assert result["sparsity_achieved"] == pytest.approx(0.8, abs=0.01)
    file = tmp_path / "run" / "sparse" / "fc1.kernel.npz"
    matrix = scipy_sparse.load_npz(file)
    assert matrix.nnz == result["layers"][0]["n_active"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path):
    """From the checkpoint of step 6 of 12."""
    workdir = tmp_path / "run"
    whole = trained(workdir, "COMPUTE=sparse")
    newest = workdir / "checkpoints" / "00000012.npz"
    with np.load(newest) as archive:
        expected = dict(archive)
    newest.unlink()
    (workdir / "result.json").unlink()
    again = trained(workdir, "COMPUTE=sparse")
    assert again["loss"] == whole["loss"]
    with np.load(newest) as archive:
        assert archive.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(archive[name], array, err_msg=name)


@pytest.mark.parametrize(
    "words, message",
    [
        (["COMPUTE=fast"], "masked, sparse, block, auto"),
        (["COMPUTE=sparse", "methods/snfs"], "SNFS"),
        (["COMPUTE=auto", "methods/pruning"], "Pruning"),
        (["COMPUTE=sparse", "SPARSE_INIT=unit_scaled"], "SPARSE_INIT"),
        (["COMPUTE=sparse", "PATTERN=2:4"], "2:4"),
        (["COMPUTE=sparse", "PRECISION=float64"], "weights of float64"),
        (["COMPUTE=sparse", "JIT_COMPILE=True"], "JIT_COMPILE=False"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    words, message, tmp_path, capsys
):
    workdir = tmp_path / "run"
    words = ["train", *WORDS, *words, f"--workdir={workdir}"]
    assert cli.main(words) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (workdir / "result.json").exists()


def test_doctor_names_the_backend(capsys, monkeypatch):
    monkeypatch.setenv("RIGL_TF_SPARSE", "numpy")
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sparse layers: numpy (SciPy)")
    assert all("times" in line for line in lines[1:])
