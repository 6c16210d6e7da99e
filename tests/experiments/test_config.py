import itertools
import pathlib

import params
import pytest

from rigl_tf.experiments import config

WORDS = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98"]
TASKS = config.shipped("tasks")
METHODS = config.shipped("methods")
ROOT = pathlib.Path(__file__).parent.parent.parent


def names(folder):
    files = (ROOT / "configs" / folder).glob("*.gin")
    return sorted(f"{folder}/{file.stem}" for file in files)


def test_all_shipped_tasks_and_methods_are_found():
    assert TASKS == names("tasks") and "tasks/digits_mlp" in TASKS
    assert METHODS == names("methods") and "methods/rigl" in METHODS


@pytest.mark.parametrize(
    "task, method",
    params.cover(
        list(itertools.product(TASKS, METHODS)),
        quick=lambda pair: "tasks/digits_mlp" in pair or "methods/rigl" in pair,
    ),
)
def test_every_task_goes_with_every_method(task, method):
    words = [task, method]
    if method != "methods/dense":
        words.append("SPARSITY=0.9")
    assert callable(config.parse(config.read(words)))
    text = config.resolved()
    assert f"task = '{pathlib.PurePath(task).name}'" in text


def test_the_resolved_configuration_is_input_again(tmp_path):
    config.parse(config.read([*WORDS, "UPDATE_INTERVAL=50"]))
    text = config.resolved()
    (tmp_path / "config.gin").write_text(text, encoding="utf-8")
    config.parse(config.read([str(tmp_path / "config.gin")]))
    assert config.resolved() == text
    assert "UPDATE_INTERVAL = 50" in text


def test_bare_words_are_strings():
    settings = config.read([*WORDS, "DISTRIBUTION=uniform"])
    assert "DISTRIBUTION = 'uniform'\n" in settings.parts[-1].text


def test_bindings_reach_any_parameter():
    settings = config.read([*WORDS, "updaters.RigL.drop_noise=1e-5"])
    config.parse(settings)
    assert "drop_noise = 1e-05" in config.resolved()


def test_files_are_found_by_path(tmp_path):
    file = tmp_path / "mine.gin"
    file.write_text("TRAIN_STEPS = 7\n", encoding="utf-8")
    config.parse(config.read([*WORDS, str(file)]))
    assert "TRAIN_STEPS = 7" in config.resolved()


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "Name a task and a method"),
        (["SPARSITY=0.9"], "Name a task and a method"),
        (["tasks/digit_mlp"], "did you mean tasks/digits_mlp"),
        (["tasks/digits_mlp"], "No word sets SPARSITY"),
        (["methods/rigl", "SPARSITY=0.9"], "No word sets BATCH_SIZE"),
        ([*WORDS, "SPARSTY=0.9"], "No macro 'SPARSTY': did you mean SPARSITY"),
        ([*WORDS, "SPARSITY=0.9;"], "must be a Python literal"),
        ([*WORDS, "SPARSITY="], "must be a Python literal"),
        ([*WORDS, "lower=3"], "NAME=value or module.function.parameter"),
        ([*WORDS, "SEED=%NOWHERE"], "No word sets NOWHERE"),
    ],
)
def test_mistakes_in_words_are_named(words, message):
    with pytest.raises(config.ConfigError, match=message):
        config.read(words)


@pytest.mark.parametrize(
    "binding, message",
    [
        ("updaters.RigL.drop_fractoin=0.1", "drop_fractoin"),
        ("updaters.Rigel.drop_fraction=0.1", "Rigel"),
        ("nowhere.RigL.drop_fraction=0.1", "nowhere"),
        ("SEED=@nowhere.seed", "nowhere"),
    ],
)
def test_what_gin_refuses_is_told_on_one_line(binding, message):
    with pytest.raises(config.ConfigError, match=message) as caught:
        config.parse(config.read([*WORDS, binding]))
    assert "\n" not in str(caught.value)


def test_a_missing_method_is_named():
    with pytest.raises(config.ConfigError, match="sets `method`"):
        config.parse(config.read(["tasks/digits_mlp", "SPARSITY=0.9"]))
