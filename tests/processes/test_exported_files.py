"""Exported files answer as well where rigl_tf cannot be imported."""

import json
import subprocess
import sys

import numpy as np
import pytest

from rigl_tf import cli
from rigl_tf import datasets
from rigl_tf.export import formats

for package in ("ai_edge_litert", "tf2onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package)

START = """
import json, sys
import numpy as np
sys.modules["rigl_tf"] = None  # importing it fails
place = sys.argv[1]
with np.load(sys.argv[2]) as arrays:
    x, labels = arrays["x"], arrays["labels"]
"""
END = """
print(json.dumps(int(np.sum(np.argmax(logits, axis=1) == labels))))
"""
# As the cards of the files say.
LOADING = {
    "keras": """
import keras
logits = keras.models.load_model(place + "/model.keras").predict(x, verbose=0)
""",
    "tf_saved_model": """
import tensorflow as tf
loaded = tf.saved_model.load(place + "/model")
logits = loaded.signatures["serving_default"](input=x)["output"]
""",
    "litert": """
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(place + "/model.tflite").get_signature_runner()
logits = np.concatenate([run(input=row[None])["output"] for row in x])
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(place + "/model.onnx")
logits = session.run(None, {"input": x})[0]
""",
    "openvino": """
import openvino
compiled = openvino.Core().compile_model(place + "/model/model.xml", "CPU")
logits = compiled(x)[0]
""",
    "safetensors": """
from safetensors.numpy import load_file
tensors = load_file(place + "/model.safetensors")
logits = x.reshape(len(x), -1)
for name in ("fc1", "fc2", "fc3"):
    shape = tensors[name + "/kernel.shape"]
    bits = np.unpackbits(tensors[name + "/kernel.bitmask"], axis=-1,
                         count=shape[-1], bitorder="little").astype(bool)
    kernel = np.zeros(shape, np.float32)
    kernel[bits] = tensors[name + "/kernel.compressed"]
    logits = logits @ kernel + tensors[name + "/bias"]
    logits = logits if name == "fc3" else np.maximum(logits, 0)
""",
    "scipy": """
import scipy.sparse
with np.load(place + "/model/other.npz") as arrays:
    others = dict(arrays)
logits = x.reshape(len(x), -1)
for name in ("fc1", "fc2", "fc3"):
    matrix = scipy.sparse.load_npz(place + f"/model/{name}.kernel.npz")
    logits = logits @ matrix + others[name + "/bias"]
    logits = logits if name == "fc3" else np.maximum(logits, 0)
""",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, and the examples of its test."""
    directory = tmp_path_factory.mktemp("run")
    words = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9"]
    words += ["TRAIN_STEPS=300", "UPDATE_END_STEP=200"]
    workdir = directory / "digits"
    assert cli.main(["train", *words, f"--workdir={workdir}"]) == 0
    split = datasets.digits().splits[1]
    x = np.concatenate([b[0] for b in datasets.digits().test(360)])[:360]
    np.savez(directory / "tests.npz", x=x, labels=split.labels)
    result = json.loads((workdir / "result.json").read_text("utf-8"))
    return workdir, directory / "tests.npz", round(360 * result["accuracy"])


def test_all_formats_are_read():
    assert LOADING.keys() == formats.FORMATS.keys()


@pytest.mark.parametrize("format", LOADING)
def test_digits_are_read_as_well_elsewhere(format, run):
    workdir, tests, n_right = run
    words = ["export", f"--workdir={workdir}", f"--format={format}"]
    assert cli.main(words) == 0
    place = str(workdir / "export" / f"{format}-f32")
    process = subprocess.run(
        [sys.executable, "-c", START + LOADING[format] + END, place, tests],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert json.loads(process.stdout.splitlines()[-1]) == n_right


def test_inference_is_timed_in_processes_of_its_own(run, tmp_path):
    workdir, *_ = run
    words = ["benchmark_inference", f"--workdir={workdir}", "--batch=1"]
    words += ["--formats=litert", "--rounds=5", f"--output={tmp_path}"]
    process = subprocess.run(
        [sys.executable, "-m", "rigl_tf", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stderr == ""
    content = json.loads((tmp_path / "latency.json").read_text("utf-8"))
    dense, sparse = content["rows"]
    assert dense["file_mb"] > 4 * sparse["file_mb"]
    assert dense["memory_mb"] >= 0
