"""Numbers far from the usual: refused at once, or harmless."""

import time

import pytest

from rigl_tf import cli
from rigl_tf.experiments import config
from rigl_tf.updaters import updates_of_run

RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9"]
SHORT = ["TRAIN_STEPS=4", "UPDATE_END_STEP=2"]
METHODS = [m for m in config.shipped("methods") if m != "methods/lottery"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["SEED=9007199254740992"], "`seed` must be at least 0 and at most"),
        (["SEED=4294967296"], "`seed`"),
        (["L2=1e300"], "`l2`"),
        (["TRAINING_MULTIPLIER=1e300"], "at most 1,000,000,000 steps"),
        (["TRAIN_STEPS=1000000000000"], "at most 1,000,000,000 steps"),
        (["TRAIN_STEPS=1" + "0" * 400], "below 2^63"),
        (["UPDATE_INTERVAL=1" + "0" * 30], "below 2^63"),
        (["CHECKPOINT_INTERVAL=1" + "0" * 30], "below 2^63"),
        (["WIDTH=1e300"], "`width`"),
        (["WIDTH=-1"], "`width`"),
        (["INPUT_BUFFER=100000000000000000000"], "`input_buffer`"),
        (["hardware/cpu", "DEVICES=0"], "`devices`"),
        (["hardware/cpu", "DEVICES=-1"], "`devices`"),
        (["hardware/cpu", "DEVICES=1000000"], "`devices`"),
        (["LEARNING_RATE=1e300"], "learning_rate"),
        (["LEARNING_RATE=1e38"], "not finite at step 1"),
        (["updaters.RigL.counts_update_steps=()"], "counts_update_steps"),
        (["updaters.RigL.drop_fraction=@models.mlp"], "drop_fraction"),
        (["experiment.Experiment.hardware=[1]"], "must be a `Hardware`"),
        (["experiment.Experiment.start=1"], "must be a `Start`"),
        (["keras.optimizers.SGD.clipnorm=[None]"], "`optimizer`"),
        (["keras.optimizers.SGD.name=2:4"], "`optimizer`"),
        (["keras.optimizers.SGD.loss_scale_factor=x"], "`optimizer`"),
        (["keras.optimizers.SGD.weight_decay=1" + "0" * 30], "`optimizer`"),
        (
            ["methods/acdc", "TRAIN_STEPS=900000000", "PRUNE_INTERVAL=1"]
            + ["PRUNE_END_STEP=900000000"],
            "at most 100,000 updates",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_nothing(
    words, message, tmp_path, capsys
):
    words = [*RIGL, *SHORT, *words, f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_directory_of_a_run_that_never_began_is_free_again(tmp_path):
    words = ["train", *RIGL, *SHORT, f"--workdir={tmp_path / 'w'}"]
    assert cli.main([*words, "LEARNING_RATE=1e38"]) == 2
    assert cli.main(words) == 0


def test_a_directory_of_others_is_kept(tmp_path):
    (tmp_path / "w").mkdir()
    words = ["train", *RIGL, *SHORT, f"--workdir={tmp_path / 'w'}"]
    assert cli.main([*words, "LEARNING_RATE=1e38"]) == 2
    assert (tmp_path / "w").exists()


@pytest.mark.parametrize("method", METHODS)
def test_the_longest_run_is_counted_at_once(method, capsys):
    words = ["tasks/digits_mlp", method, "TRAIN_STEPS=1000000000"]
    if method != "methods/dense":
        words.append("SPARSITY=0.9")
    began = time.monotonic()
    assert cli.main(["count", *words]) == 0
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("method", METHODS)
def test_updates_are_counted_as_if_one_by_one(method):
    words = ["tasks/digits_mlp", method]
    if method != "methods/dense":
        words.append("SPARSITY=0.9")
    updater = config.parse(config.read(words))().mask_updater
    if updater is None:
        return
    for n_steps in (1, 2, 59, 60, 61, 100, 2000):
        steps = list(updates_of_run.steps(updater, n_steps))
        assert updates_of_run.count(updater, n_steps) == len(steps), n_steps
        if steps:
            assert updates_of_run._last(updater, n_steps) == steps[-1], n_steps
