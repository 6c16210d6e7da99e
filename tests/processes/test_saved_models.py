"""Saved models load in a process without the package."""

import pathlib
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import zoo
import zoo_of_today

import rigl_tf

STRIPPED = """
import sys, keras, numpy as np
sys.path.insert(0, sys.argv[2])
import zoo
assert "rigl_tf" not in sys.modules
for kind in zoo.KINDS:
    model = keras.models.load_model(f"{sys.argv[1]}/{kind}.keras")
    model.load_weights(f"{sys.argv[1]}/{kind}.weights.h5")
    x, y = zoo.arrays(model)
    expected = np.load(f"{sys.argv[1]}/{kind}.npy")
    found = np.asarray(model(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    model.compile("sgd", "mse")
    model.train_on_batch(x, expected)
assert "rigl_tf" not in sys.modules
"""


def test_stripped_models_live_elsewhere(tmp_path):
    for kind, build in zoo.KINDS.items():
        model = rigl_tf.sparsify(build(), 0.5)
        plain = rigl_tf.strip(model)
        plain.save(tmp_path / f"{kind}.keras")
        plain.save_weights(tmp_path / f"{kind}.weights.h5")
        x, _ = zoo.arrays(plain)
        np.save(tmp_path / f"{kind}.npy", model(x, training=False))
    run = subprocess.run(
        [sys.executable, "-c", STRIPPED, str(tmp_path), zoo.__file__[:-7]],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]


ELSEWHERE = """
import pathlib, pickle, sys
import keras, numpy as np
sys.path.insert(0, sys.argv[2])
import zoo_of_today

def check(which):
    for file in sorted(pathlib.Path(sys.argv[1]).glob("*.pickle")):
        x, expected, masks = pickle.loads(file.read_bytes())
        model = keras.saving.load_model(
            file.with_suffix(f".{which}.keras"),
            safe_mode=file.stem != "with_lambda",
        )
        found = keras.tree.flatten(model(x, training=False))
        for a, b in zip(found, expected, strict=True):
            a = np.asarray(a, np.float32)
            assert np.abs(a - b).max() <= 1e-6, file.stem
        yield model, masks

for model, _ in check("plain"):
    assert "rigl_tf" not in sys.modules
import rigl_tf
for model, masks in check("masked"):
    items = rigl_tf.masked_kernels(model)
    for item, mask in zip(items, masks, strict=True):
        np.testing.assert_array_equal(item.mask.numpy(), mask)
"""


# What Keras and KerasHub tell of themselves.
@pytest.mark.filterwarnings("ignore:.compile... was not called as part")
def test_modern_models_load_elsewhere(tmp_path):
    for kind, build in zoo_of_today.KINDS.items():
        model = rigl_tf.sparsify(build(), 0.5, "uniform")
        plain = rigl_tf.strip(model)
        plain.save(tmp_path / f"{kind}.plain.keras")
        model.save(tmp_path / f"{kind}.masked.keras")
        x = zoo_of_today.examples(plain)
        outputs = keras.tree.flatten(model(x, training=False))
        found = [np.asarray(output, np.float32) for output in outputs]
        masks = [i.mask.numpy() for i in rigl_tf.masked_kernels(model)]
        content = pickle.dumps((x, found, masks))
        (tmp_path / f"{kind}.pickle").write_bytes(content)
    here = str(pathlib.Path(zoo_of_today.__file__).parent)
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path), here],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
