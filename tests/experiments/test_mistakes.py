"""A hundred mistakes: one clear line, exit code 2, nothing written."""

import pathlib
import resource
import shutil
import subprocess
import sys

import pytest

from rigl_tf import cli

TASK, METHOD = "tasks/digits_mlp", "methods/rigl"
RIGL = [TASK, METHOD, "SPARSITY=0.9", "TRAIN_STEPS=4", "UPDATE_END_STEP=2"]
BAD = "bad_plugins"  # written by the fixture `plugins`


def rigl(*words):
    return ["train", *RIGL, *words]


def bad(name):
    return rigl(f"--import={BAD}", f"experiment.Experiment.{name}")


WORDS = [
    ([], "required: COMMAND"),
    (["trian"], "invalid choice: 'trian'"),
    (["train"], "Name a task and a method"),
    (["train", "SPARSITY=0.9"], "Name a task and a method"),
    (["train", TASK, METHOD], "No word sets SPARSITY"),
    (["train", METHOD, "SPARSITY=0.9"], "name a task"),
    (["train", TASK, "SPARSITY=0.9"], "sets `method`"),
    (["train", "tasks/digit_mlp", METHOD], "did you mean tasks/digits_mlp"),
    (["train", "task/digits_mlp", METHOD], "did you mean tasks/digits_mlp"),
    (["train", TASK, "methods/rigel"], "did you mean methods/rigl"),
    (["train", TASK, "methods"], "No configuration file 'methods'"),
    (["train", "/nowhere/x.gin", METHOD], "No configuration file"),
    (rigl("SPARSTY=0.9"), "did you mean SPARSITY"),
    (rigl("sparsity=0.9"), "must have the form NAME=value"),
    (rigl("=0.9"), "must have the form NAME=value"),
    (rigl("SPARSITY="), "Python literal"),
    (rigl("SPARSITY=0.9.1"), "Python literal"),
    (rigl("SPARSITY=[0.9"), "Python literal"),
    (rigl("SEED=%SEDE"), "No word sets SEDE"),
    (rigl("SEED=@nowhere.seed"), "nowhere"),
    (rigl("--workdri=x"), "--workdri"),
    (rigl("--import=no_such_module"), "no_such_module"),
    (["count"], "Name a task and a method"),
    (["count", "--model=none.keras"], "'none.keras', which is not"),
    (["count", "--model="], "must be a .keras file"),
    (["count", TASK, METHOD, "--model=a.keras"], "words, or --model"),
    (["count", TASK, METHOD, "--input_shape=3,3"], "words, or --model"),
    (["count", "--model=a.keras", "--input_shape=3,x"], "must be sizes"),
    (["count", "--model=a.keras", "--input_shape=0,3"], "must be sizes"),
    (["count", TASK, METHOD, "SPARSITY=0.9", "--rule=x"], "`rule` must be"),
    (["table", "none"], "There are the tables"),
    (["count", "tasks/none", METHOD], "No configuration file"),
    (["count", *RIGL, "SPARSITY=2"], "[0, 1)"),
    (["evaluate"], "--workdir"),
    (["evaluate", "--workdir=nowhere"], "no config.gin"),
    (["summary", "--workdir=nowhere"], "no config.gin"),
    (["connectivity", "--workdir=nowhere"], "RECORD_MASKS=True"),
    (["report", "nowhere"], "needs finished runs"),
    (["sweep", "nowhere", "--workdir=w"], "No sweep 'nowhere'"),
    (["sweep", "sweeps/digits_ml", "--workdir=w"], "sweeps/digits_mlp"),
    (["sweep", "sweeps/digits_mlp"], "--workdir"),
]
VALUES = [
    ("SPARSITY=1", "[0, 1)"),
    ("SPARSITY=-0.1", "[0, 1)"),
    ("SPARSITY=98", "[0, 1)"),
    ("SPARSITY=high", "must be a number"),
    ("SPARSITY=True", "must be a number"),
    ("SPARSITY=None", "must be a number"),
    ("SPARSITY=[0.9]", "must be a number"),
    ("TRAIN_STEPS=0", "at least 1"),
    ("TRAIN_STEPS=-5", "at least 1"),
    ("TRAIN_STEPS=1.5", "must be an integer"),
    ("TRAIN_STEPS=many", "must be an integer"),
    ("TRAIN_STEPS=None", "must be"),
    ("BATCH_SIZE=0", "at least 1"),
    ("BATCH_SIZE=1438", "at most 1437"),
    ("BATCH_SIZE=2.0", "must be an integer"),
    ("LOG_INTERVAL=0", "log_interval"),
    ("LOG_INTERVAL=x", "must be an integer"),
    ("EVALUATE_INTERVAL=0", "evaluate_interval"),
    ("CHECKPOINT_INTERVAL=0", "checkpoint_interval"),
    ("CHECKPOINT_INTERVAL=-1", "checkpoint_interval"),
    ("KEEP_CHECKPOINTS=0", "keep_checkpoints"),
    ("KEEP_CHECKPOINT_EVERY=0", "keep_checkpoint_every"),
    ("SEED=-1", "seed"),
    ("SEED=1.5", "must be an integer"),
    ("SEED=zero", "must be an integer"),
    ("L2=-1", "`l2` must be at least 0"),
    ("L2=much", "must be a number"),
    ("RECORD_MASKS=yes", "True, False"),
    ("PREDICTIONS=1.5", "True, False"),
    ("TENSORBOARD=2", "True, False"),
    ("UPDATE_INTERVAL=0", "update_interval=0"),
    ("UPDATE_INTERVAL=2.5", "must be an integer"),
    ("UPDATE_INTERVAL=often", "must be an integer"),
    ("UPDATE_END_STEP=-1", "update_end_step"),
    ("UPDATE_END_STEP=5", "must not lie after the last step"),
    ("UPDATE_END_STEP=None", "needs an end"),
    ("UPDATE_END_STEP=late", "must be an integer"),
    ("UPDATE_END_STEP=0", "must lie after `begin_step`"),
    ("DROP_FRACTION=1.1", "[0, 1]"),
    ("DROP_FRACTION=-0.1", "[0, 1]"),
    ("DROP_FRACTION=some", "must be a number"),
    ("DROP_FRACTION=None", "must be a number"),
    ("DISTRIBUTION=ekr", "erdos_renyi_kernel"),
    ("DISTRIBUTION=3", "erdos_renyi_kernel"),
    ("DENSE_LAYERS=['conv.*']", "names no kernel"),
    ("DENSE_LAYERS=['fc(']", "regular expressions"),
    ("DENSE_LAYERS=['fc.*/kernel']", "at least one kernel"),
    ("CUSTOM_SPARSITIES={'conv1': 0.5}", "names no kernel"),
    ("CUSTOM_SPARSITIES={'fc1/kernel': 1.0}", "[0, 1)"),
    ("CUSTOM_SPARSITIES={'fc1/kernel': 'x'}", "must be a number"),
    ("CUSTOM_SPARSITIES={'fc.*': 0.1, 'fc1/kernel': 0}", "earlier patterns"),
    ("LEARNING_RATE=fast", "fast"),
    ("LEARNING_RATE=-1", "learning_rate"),
    ("updaters.RigL.update_begin_step=3", "update_begin_step=3"),
    ("updaters.RigL.update_begin_step=-3", "at least 0"),
    ("updaters.RigL.grow_init=ones", "one of zeros"),
    ("updaters.RigL.grow_init_divisor=0", "above 0"),
    ("updaters.RigL.drop_noise=-1", "at least 0"),
    ("updaters.RigL.drop_fractoin=0.1", "drop_fractoin"),
    ("updaters.Rigel.drop_fraction=0.1", "Rigel"),
    ("experiment.Experiment.sparsitee=0.1", "sparsitee"),
    ("experiment.Experiment.model=mlp", "must be a function"),
    ("experiment.Experiment.model=@models.mlpp", "mlpp"),
    ("experiment.Experiment.dataset=mnist", "must be a function"),
    ("experiment.Experiment.optimizer=SGD", "must be a function"),
    ("experiment.Experiment.updater=rigl", "must be None or a `MaskUpdater`"),
    ("experiment.Experiment.updater=@updaters.RigL", "@module.Method()"),
    (
        "experiment.Experiment.optimizer=@keras.optimizers.Adafactor",
        "Adafactor",
    ),
    ("experiment.Experiment.dataset=@datasets.mnist", "rigl_tf prepare mnist"),
]
PLUGINS = [
    ("model=@bad_plugins.nothing_to_mask", "no kernel to mask"),
    ("model=@bad_plugins.five_logits", "one logit per class, 10"),
    ("dataset=@bad_plugins.wrong_shape", "must hold inputs of shape"),
    ("dataset=@bad_plugins.empty", "at least one example"),
    ("dataset=@bad_plugins.labels_out_of_range", "labels in [0, 10)"),
    ("dataset=@bad_plugins.unequal", "one label per example"),
]
CASES = [
    *WORDS,
    *[(rigl(word), message) for word, message in VALUES],
    *[(bad(binding), message) for binding, message in PLUGINS],
]

SOURCE = """
import keras
import numpy as np
from rigl_tf import datasets

def nothing_to_mask(input_shape, n_classes):
    x = inputs = keras.Input(input_shape)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.RepeatVector(n_classes)(x)[..., 0])

def five_logits(input_shape, n_classes):
    return keras.Sequential([
        keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(5)
    ])

def _data(n, shape=(8, 8, 1), label=0, n_labels=None):
    labels = np.full(n if n_labels is None else n_labels, label)
    split = datasets.Split(np.zeros((n, *shape), "float32"), labels)
    return datasets.ArrayDataset("bad", (8, 8, 1), 10, lambda: (split, split))

def wrong_shape(): return _data(200, shape=(9, 9, 1))
def empty(): return _data(0)
def labels_out_of_range(): return _data(200, label=10)
def unequal(): return _data(200, n_labels=7)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Run in an empty directory, without data, with bad plugins at hand."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / f"{BAD}.py").write_text(SOURCE, encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no_data"))
    return work


def expect_mistake(words, message, capsys, code=2):
    assert cli.main(words) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("rigl_tf: ") and error.count("\n") == 1
    assert "Traceback" not in error


def test_there_are_a_hundred_cases():
    assert len(CASES) >= 100


@pytest.mark.parametrize("words, message", CASES)
def test_mistakes_are_told_on_one_line(words, message, here, capsys):
    expect_mistake(words, message, capsys)
    assert not list(here.iterdir())


@pytest.mark.process
@pytest.mark.parametrize(
    "words, message",
    [*WORDS[:6], *WORDS[7:12], *WORDS[12:15], (rigl("SPARSITY=2"), "[0, 1)")],
)
def test_the_real_command_says_the_same(words, message, here):
    run = subprocess.run(
        [sys.executable, "-m", "rigl_tf", *words],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert message in run.stderr and run.stderr.count("\n") == 1
    assert not list(here.iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "w"
    words = [*RIGL, "CHECKPOINT_INTERVAL=2", f"--workdir={workdir}"]
    assert cli.main(["train", *words]) == 0
    return workdir


@pytest.fixture
def unfinished(finished, tmp_path):
    """Return a copy of the run, as if it had been killed at the end."""
    copy = tmp_path / "w"
    shutil.copytree(finished, copy)
    (copy / "result.json").unlink()
    return copy


AGAIN = ["train", *RIGL, "CHECKPOINT_INTERVAL=2"]


def contents(directory):
    return {
        path: path.read_bytes()
        for path in pathlib.Path(directory).rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("word", ["SEED=1", "L2=0.1", "SPARSITY=0.8"])
def test_other_words_are_refused_and_named(word, finished, capsys):
    before = contents(finished)
    words = [*AGAIN, word, f"--workdir={finished}"]
    expect_mistake(words, word.replace("=", " = "), capsys)
    assert contents(finished) == before


def test_a_loss_without_bounds_is_named(tmp_path, capsys):
    words = [*AGAIN, "LEARNING_RATE=1e30", "TRAIN_STEPS=50"]
    words.append(f"--workdir={tmp_path / 'w'}")
    expect_mistake(words, "The loss is not finite at step", capsys)


def test_a_directory_with_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious", encoding="utf-8")
    words = [*AGAIN, f"--workdir={tmp_path}"]
    expect_mistake(words, "not a work directory", capsys)
    assert contents(tmp_path) == {tmp_path / "thesis.tex": b"precious"}


def test_a_file_is_no_work_directory(tmp_path, capsys):
    (tmp_path / "w").write_text("x", encoding="utf-8")
    words = [*AGAIN, f"--workdir={tmp_path / 'w'}"]
    expect_mistake(words, "must be a directory", capsys)


def test_an_unwritable_place_is_named(capsys):
    expect_mistake([*AGAIN, "--workdir=/proc/w"], "/proc/w", capsys)


@pytest.mark.process
def test_a_second_process_is_refused(unfinished, capsys):
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'w');"
        "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(unfinished / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout.readline() == "held\n"
        before = contents(unfinished)
        words = [*AGAIN, f"--workdir={unfinished}"]
        expect_mistake(words, "one process at a time", capsys, code=75)
        assert contents(unfinished) == before
        other.communicate("\n")
    assert cli.main(words) == 0


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty"])
def test_bad_checkpoints_are_passed_over(how, unfinished, caplog):
    newest = unfinished / "checkpoints" / "00000004.npz"
    spoil(newest, how)
    assert cli.main([*AGAIN, f"--workdir={unfinished}"]) == 0
    assert "00000004.npz" in caplog.text
    assert (unfinished / "result.json").exists()


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "foreign"])
def test_without_an_intact_checkpoint_nothing_goes_on(how, unfinished, capsys):
    for path in (unfinished / "checkpoints").iterdir():
        spoil(path, how)
    before = contents(unfinished)
    words = [*AGAIN, f"--workdir={unfinished}"]
    assert cli.main(words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "None of 2 checkpoints can be used" in last
    assert contents(unfinished) == before


def spoil(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[:-100]
    elif how == "empty":
        data = b""
    elif how == "flipped":
        data[len(data) // 2] ^= 16
    else:
        import numpy as np

        np.savez(path, weights=np.ones(3))
        return
    path.write_bytes(bytes(data))


def test_what_cannot_be_written_leaves_no_part(tmp_path, capsys):
    """Let no file grow beyond 200 kB; a checkpoint is larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        code = cli.main([*AGAIN, f"--workdir={tmp_path / 'w'}"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = capsys.readouterr().err
    assert code == 2
    assert "File too large" in error and error.count("\n") == 1
    assert not list((tmp_path / "w/checkpoints").iterdir())
    assert not (tmp_path / "w/result.json").exists()


@pytest.mark.process
def test_a_full_disk_is_told_and_nothing_is_lost(unfinished, capsys):
    """Fill a small disk of its own, while checkpoints are written."""
    disk = unfinished.parent / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        words = [*AGAIN, f"--workdir={disk / 'w'}"]
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert "No space left" in error and error.count("\n") == 1
        assert not (disk / "w" / "result.json").exists()
        assert not list((disk / "w").rglob(".tmp-*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
