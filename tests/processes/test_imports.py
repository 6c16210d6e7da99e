"""What `import rigl_tf` offers: names, completion, classes that Keras loads."""

import subprocess
import sys

import pytest
import tiny

import rigl_tf


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the file of a masked model."""
    path = tmp_path_factory.mktemp("saved") / "masked.keras"
    rigl_tf.sparsify(tiny.mlp(), 0.5).save(path)
    return path


def run(code):
    """Run code in a fresh process; return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, rigl_tf",
        # Looking for Keras is not importing it.
        "import rigl_tf; from importlib import util; util.find_spec('keras');"
        " import keras",
        # The import of Keras imports `layers.masked` at its end, which is, or
        # needs, the module that imports Keras here.
        "import rigl_tf.layers.masked, keras",
        "import rigl_tf.layers.model_paths, keras",
    ],
)
def test_masked_models_load_after_the_import_alone(imports, saved):
    code = f"{imports}\nmodel = keras.saving.load_model({str(saved)!r})\n"
    assert run(f"{code}print(len(model.weights))") == "6\n"


@pytest.mark.parametrize("text", ["[1, 2]", '"jax"', "3"])
def test_settings_of_keras_that_are_no_object_are_refused(text, tmp_path):
    (tmp_path / "keras.json").write_text(text, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-c", "import rigl_tf; rigl_tf.sparsify"],
        env={"KERAS_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    last = process.stderr.splitlines()[-1]
    assert last.startswith("ImportError: The settings of Keras must be")


def test_using_any_name_leaves_keras_alone(tmp_path):
    """And modules need no import of their own, and users no home."""
    code = (
        "import os, keras, rigl_tf\n"
        "for name in rigl_tf.__all__: getattr(rigl_tf, name)\n"
        "rigl_tf.updaters.Pruning(update_end_step=100)\n"
        "import tensorflow as tf\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ\n"
        "assert tf.keras.__version__.startswith('3'), tf.keras.__version__\n"
    )
    environment = {"HOME": str(tmp_path / "missing"), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
