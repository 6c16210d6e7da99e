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

# The first part runs without rigl_tf, the second with it.
ELSEWHERE = """
import pathlib, pickle, sys
import keras, numpy as np
sys.path.insert(0, sys.argv[2])
import zoo, zoo_of_today

directory = pathlib.Path(sys.argv[1])

def check(which):
    for file in sorted(directory.glob("*.pickle")):
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
for file in directory.glob("*.weights.h5"):
    kind = file.name.partition(".")[0]
    model = zoo.KINDS[kind]()
    model.load_weights(file)
    x, _ = zoo.arrays(model)
    expected = np.load(directory / f"{kind}.npy")
    found = np.asarray(model(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(x, expected)
assert "rigl_tf" not in sys.modules
import rigl_tf
for model, masks in check("masked"):
    items = rigl_tf.masked_kernels(model)
    for item, mask in zip(items, masks, strict=True):
        np.testing.assert_array_equal(item.mask.numpy(), mask)
"""


def save_weights(kind, directory):
    """Save the weights of a stripped model, and its outputs."""
    model = rigl_tf.sparsify(zoo.KINDS[kind](), 0.5)
    plain = rigl_tf.strip(model)
    plain.save_weights(directory / f"{kind}.weights.h5")
    x, _ = zoo.arrays(plain)
    np.save(directory / f"{kind}.npy", model(x, training=False))


def save_models(name, build, examples, directory):
    """Save a masked model and a stripped one, inputs, outputs and masks."""
    model = rigl_tf.sparsify(build(), 0.5, "uniform")
    plain = rigl_tf.strip(model)
    plain.save(directory / f"{name}.plain.keras")
    model.save(directory / f"{name}.masked.keras")
    x = examples(plain)
    outputs = keras.tree.flatten(model(x, training=False))
    found = [np.asarray(output, np.float32) for output in outputs]
    masks = [i.mask.numpy() for i in rigl_tf.masked_kernels(model)]
    content = pickle.dumps((x, found, masks))
    (directory / f"{name}.pickle").write_bytes(content)


# Other kinds have no layers or classes that these have not.
SOME = (
    *("vision_transformer", "language_model", "recurrent", "video"),
    *("separable", "mixer", "mixed_precision", "spectral_normalization"),
    *("own_kernels", "own_graph_inside", "autoencoder", "with_lambda"),
    *("with_lora", "bert_classifier", "bart"),
)


# What Keras and KerasHub tell of themselves.
@pytest.mark.filterwarnings("ignore:.compile... was not called as part")
def test_models_load_elsewhere(tmp_path):
    for kind, build in zoo.KINDS.items():
        if kind == "application":
            continue  # those of today are applications, too
        save_weights(kind, tmp_path)
        save_models(
            f"small_{kind}", build, lambda m: zoo.arrays(m)[0], tmp_path
        )
    for kind in zoo_of_today.KINDS if zoo_of_today.FULL else SOME:
        build = zoo_of_today.KINDS[kind]
        save_models(kind, build, zoo_of_today.examples, tmp_path)
    here = str(pathlib.Path(zoo_of_today.__file__).parent)
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path), here],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
