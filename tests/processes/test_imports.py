"""What `import rigl_tf` offers: names, completion, classes that Keras loads."""

import ast
import pathlib
import pydoc
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
        "import rigl_tf, keras",
        # Looking for Keras is not importing it.
        "import rigl_tf; from importlib import util; util.find_spec('keras');"
        " import keras",
    ],
)
def test_masked_models_load_after_the_import_alone(imports, saved):
    code = f"{imports}\nmodel = keras.saving.load_model({str(saved)!r})\n"
    assert run(f"{code}print(len(model.weights))") == "6\n"


@pytest.mark.parametrize(
    "module",
    [
        "layers.masked",
        "layers.masking",
        "layers.model_paths",
        "training.learning_rates",
    ],
)
def test_any_module_can_be_the_first_to_import_keras(module, saved):
    code = f"import rigl_tf.{module}, keras\n"
    run(f"{code}keras.saving.load_model({str(saved)!r})")


def test_names_can_be_completed():
    names = dir(rigl_tf)
    assert set(rigl_tf.__all__) <= set(names)
    assert all(n in rigl_tf.__all__ or n.startswith("__") for n in names)
    assert "sparsify" in pydoc.render_doc(rigl_tf)


def test_modules_need_no_import_of_their_own():
    code = "import rigl_tf\nfor name in rigl_tf.__all__: getattr(rigl_tf, name)"
    run(code)


def test_the_stub_offers_the_same_names():
    """Names, and where they come from."""
    stub = pathlib.Path(rigl_tf.__file__).with_suffix(".pyi")
    homes = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                homes[alias.asname] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign):
            homes[node.targets[0].id] = homes.pop(node.value.id)
    assert homes == {
        **{
            name: f"rigl_tf.{home}.{name}"
            for name, home in rigl_tf._HOMES.items()
        },
        **{name: f"rigl_tf.{path}" for name, path in rigl_tf._MODULES.items()},
    }


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


def test_users_without_a_home_are_served(tmp_path):
    subprocess.run(
        [sys.executable, "-c", "import rigl_tf; rigl_tf.sparsify"],
        env={"HOME": str(tmp_path / "missing"), "PATH": ""},
        check=True,
    )
