"""Configuration files of users: includes, macros, and what they may call."""

import sys
import warnings

import keras
import pytest

from rigl_tf import cli
from rigl_tf.experiments import allow_list
from rigl_tf.experiments import config

SHORT = ["TRAIN_STEPS=6", "UPDATE_END_STEP=4", "UPDATE_INTERVAL=2"]
RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9", *SHORT]

WORDS = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98"]
DYNAMIC = "from __gin__ import dynamic_registration\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a file, and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def resolve(*words, imports=()):
    config.parse(config.read([*WORDS, *words], imports))
    return config.resolved()


def refuse(message, *words, imports=()):
    with pytest.raises(config.ConfigError) as caught:
        config.parse(config.read([*WORDS, *words], imports))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_included_files_lie_beside_the_including_one(write):
    write("below/part.gin", "TRAIN_STEPS = 7\nL2 = 0.5\n")
    file = write(
        "below/mine.gin",
        "TRAIN_STEPS = 6\ninclude 'part.gin'\nL2 = 0.25\n",
    )
    text = resolve(file)
    assert "TRAIN_STEPS = 7" in text and "L2 = 0.25" in text


@pytest.mark.parametrize("name", ["methods/set", "methods/set.gin"])
def test_shipped_files_can_be_included(name, write):
    file = write(
        "mine.gin",
        f"{DYNAMIC}import rigl_tf.updaters as updaters\n"
        f"include '{name}'\nupdaters.SET:\n  drop_noise = 0.125\n",
    )
    text = resolve(file)
    assert "updater = @updaters.SET()" in text and "drop_noise = 0.125" in text


def test_macros_of_included_files_are_known(write):
    write("part.gin", "MY_STEPS = 9\n")
    file = write("mine.gin", "include 'part.gin'\nTRAIN_STEPS = %MY_STEPS\n")
    assert "MY_STEPS = 9" in resolve(file)
    assert "MY_STEPS = 8" in resolve(file, "MY_STEPS=8")


def test_errors_after_an_include_name_the_line(write):
    write("part.gin", "L2 = 0.5\n")
    file = write("mine.gin", "include 'part.gin'\n\nupdaters.RigL.x = 3\n")
    refuse("line 3", file)


@pytest.mark.parametrize(
    "texts, message",
    [
        (["include 'b.gin'\n", "include 'a.gin'\n"], "include each other"),
        (["include 'a.gin'\n"], "include each other"),
        (["include 'none.gin'\n"], "No configuration file 'none.gin'"),
        (["A = %B\nB = %A\n"], "%A -> %B -> %A"),
        (["A = %A\n"], "%A -> %A"),
        (["A = [1, (%B,)]\nB = {'x': %A}\n"], "%A -> %B -> %A"),
        (["include 'b.gin'\nB = %A\n", "A = %B\n"], "%A -> %B -> %A"),
        (
            [
                DYNAMIC + "import rigl_tf.experiments.starts as starts\n"
                "starts.Start.run = @starts.Start()\n"
            ],
            "@rigl_tf.experiments.starts.Start() -> "
            "@rigl_tf.experiments.starts.Start()",
        ),
        ([b"# \xfc\n"], "must be UTF-8 text"),
        (["A = " + "(" * 3000 + ")" * 3000], "Configuration error"),
        (["A = [1,\n"], "Configuration error"),
        (["L2 = = 3\n"], "line 1"),
        (["starts.Start:\n run = 3\n   step = 1\n"], "Configuration error"),
        (["L2 = %lower\nlower = %nowhere\n"], "nowhere"),
    ],
)
def test_what_cannot_be_resolved_is_told_on_one_line(
    texts, message, write, capsys
):
    for name, text in zip("ab", texts):
        write(f"{name}.gin", text)
    assert cli.main(["train", *WORDS, "a.gin"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_later_value_breaks_a_circle(write):
    file = write("mine.gin", "L2 = %OTHER\nOTHER = %L2\n")
    assert "OTHER = 0.5" in resolve(file, "OTHER=0.5")


def test_scopes_may_call_the_same_function(write):
    file = write(
        "mine.gin",
        DYNAMIC + "import rigl_tf.experiments.experiment as experiment\n"
        "import rigl_tf.experiments.starts as starts\n"
        "experiment.Experiment.start = @outer/starts.Start()\n"
        "outer/starts.Start.step = None\n",
    )
    assert "@outer/starts.Start()" in resolve(file)


def test_text_is_utf8_with_any_line_ends(write):
    file = write("mine.gin", "\ufeff# Zürich\r\nL2 = 0.5\r\n")
    assert "L2 = 0.5" in resolve(file)


def test_a_setting_may_be_longer_than_a_file_name():
    names = [f"layer_{index}" for index in range(100)]
    settings = config.read([*WORDS, f"DENSE_LAYERS={names}"])
    assert "layer_99" in settings.parts[-1].text


@pytest.mark.parametrize("folder", ["lr=0.1", "SEED=1", "a.b=1"])
def test_paths_may_have_an_equals_sign(folder, write):
    file = write(f"{folder}/mine.gin", "L2 = 0.5\n")
    assert "L2 = 0.5" in resolve(file)
    assert "L2 = 0.5" in resolve(f"./{folder}/mine.gin")


EVIL = "os.system.command = 'touch evil'\nL2 = @os.system()\n"
MINE = """
import functools
import os
from os import path
import keras
from rigl_tf import files
from rigl_tf.updaters import SET
evil = os.system
class Net:
    def build(self, width=1):
        pass
class Layer(keras.layers.Layer):
    pass
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import os",
        "import os as keras",
        "from os import path",
        "import subprocess",
        "import rigl_tf.files as files",
        "import rigl_tf.datasets.tfds_source as prepared",
        "from keras import utils",
        "import keras.src.utils.file_utils as utils",
        "import mine",
        "import hardware",
    ],
)
def test_other_modules_are_not_imported(statement, write, capsys, monkeypatch):
    """A file is refused before the first of its imports."""
    # The code of the pages has a module of this name, too.
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    write("mine.py", "open('evil', 'w').close()")
    write("a.gin", f"L2 = 0.1\n{DYNAMIC}{statement}\n")
    assert cli.main(["count", *WORDS, "a.gin"]) == 2
    error = capsys.readouterr().err
    assert "line 3" in error and "--import=" in error
    assert error.count("\n") == 1
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    "name",
    [
        "rigl_tf.files.os.system",
        "rigl_tf.experiments.experiment.files.os.system",
        "hardware.os.system",
        "hardware.os.system.__call__",
        "hardware.tf.io.gfile.remove",
        "hardware._before_start",
        "experiment._data",
        "experiment.Experiment.train_and_evaluate",
        "experiment.runs.train",
        "datasets.tfds_source.prepare",
        "models.mlp.__globals__",
        "learning_rates.Stretched.from_config",
        "keras.utils.get_file",
        "keras.src.utils.get_file",
        "keras.saving.load_model",
        "keras.models.load_model",
        "keras.layers.Lambda",
        "keras.config.enable_unsafe_deserialization",
        "keras.optimizers.deserialize",
        "keras.optimizers.get",
        "keras.optimizers.SGD.from_config",
        "keras.Variable",
        "mine.evil",
        "mine.os.system",
        "mine.path.join",
        "mine.files.write_text",
        "mine.functools.partial",
        "mine.keras.utils.get_file",
        "mine.Layer.from_config",
        "mine.Layer.__subclasses__",
        "gin.__class__",
        "gin.macro.__globals__",
    ],
)
@pytest.mark.parametrize("form", ["L2 = @{}()", "{}.x = 1", "{}:\n x = 1"])
def test_functions_of_other_modules_are_refused(
    form, name, write, monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    write("mine.py", MINE)
    names = ["datasets", "hardware", "experiment", "models", "learning_rates"]
    modules = allow_list.MODULES
    imports = "".join(f"import {modules[n]} as {n}\n" for n in names)
    file = write(
        "a.gin",
        f"{DYNAMIC}import keras\nimport mine\nimport rigl_tf\n{imports}"
        f"{form.format(name)}\n",
    )
    refuse("a.gin, line 10", file, imports=["mine"])


def test_what_the_users_modules_define_may_be_named(
    write, monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(tmp_path)
    write("pack/__init__.py", "")
    write("pack/inner.py", MINE)
    file = write(
        "a.gin",
        f"{DYNAMIC}import pack.inner as inner\n"
        "import rigl_tf.experiments.experiment as experiment\n"
        "experiment.Experiment.model = @inner.Net\n"
        "experiment.Experiment.updater = @inner.SET()\n"
        "inner.Net.build.width = 2\n",
    )
    assert "inner.Net.build.width = 2" in resolve(file, imports=["pack"])
    refuse("--import=pack.inner", file)


def test_a_work_directory_runs_nothing_of_its_own(write, capsys, tmp_path):
    write("w/config.gin", f"{DYNAMIC}import os\n{EVIL}")
    assert cli.main(["evaluate", "--workdir=w"]) == 2
    error = capsys.readouterr().err
    assert "config.gin, line 2" in error and "--import=os" in error
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_model_files_run_nothing_of_their_own(suffix, tmp_path, capsys):
    mark = str(tmp_path / "evil")

    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Lambda(
                lambda x: (open(mark, "ab").close(), x)[1], output_shape=(3,)
            ),
        ]
    )
    path = tmp_path / f"model.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.saving.save_model(model, path)
    (tmp_path / "evil").unlink(missing_ok=True)
    words = [f"--model={path}", "--input_shape=3"]
    assert cli.main(["count", *words]) == 2
    error = capsys.readouterr().err
    assert "must be a .keras file" in error and error.count("\n") == 1
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("how", ["sys.exit(3)", "raise KeyError(1)", "1 +"])
def test_modules_that_cannot_be_imported_are_named(
    how, write, monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(tmp_path)
    write("unsound.py", f"import sys\n{how}\n")
    assert cli.main(["train", *WORDS, "--import=unsound"]) == 2
    error = capsys.readouterr().err
    assert "sound module" in error and error.count("\n") == 1


def test_broken_modules_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_module.py").write_text("def f(:\n", encoding="utf-8")
    assert cli.main(["train", *RIGL, "--import=broken_module"]) == 2
    error = capsys.readouterr().err
    assert "SyntaxError" in error and error.count("\n") == 1
