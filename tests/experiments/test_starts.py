"""Runs that begin with what others left: tickets, Scratch, restarts."""

import json
import shutil

import numpy as np
import pytest

from rigl_tf import cli
from rigl_tf import files
from rigl_tf.experiments import config
from rigl_tf.experiments import counting
from rigl_tf.experiments import networks
from rigl_tf.experiments import runs
from rigl_tf.experiments import starts
from rigl_tf.layers import copying
from rigl_tf.masks import patterns
from rigl_tf.masks import storage

SHORT = [
    "TRAIN_STEPS=40",
    "UPDATE_INTERVAL=5",
    "UPDATE_END_STEP=30",
    "PRUNE_BEGIN_STEP=10",
    "PRUNE_END_STEP=30",
    "PRUNE_INTERVAL=5",
    "CHECKPOINT_INTERVAL=10",
    "KEEP_CHECKPOINT_EVERY=10",
]


def job(*words):
    """Build the experiment of some words."""
    return config.parse(config.read(["tasks/digits_mlp", *words, *SHORT]))()


def built(*words):
    """Return `{path: (weights, mask)}` of a run's first network."""
    trainer = runs.Run(job(*words)).trainer
    return {
        k.path: (k.kernel.numpy(), k.mask.numpy() > 0) for k in trainer.kernels
    }


def train(directory, *words):
    assert (
        cli.main(
            ["train", "tasks/digits_mlp", *words, *SHORT]
            + [f"--workdir={directory}"]
        )
        == 0
    )
    return directory


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """Train a pruned run of seed 1."""
    directory = tmp_path_factory.mktemp("runs") / "pruned"
    return train(directory, "methods/pruning", "SPARSITY=0.9", "SEED=1")


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "dense"
    return train(directory, "methods/dense", "SEED=1")


def test_a_ticket_is_the_mask_on_the_first_weights(pruned):
    first = built("methods/pruning", "SPARSITY=0.9", "SEED=1")
    masks = storage.load(pruned / "masks.npz")
    for seed in (1, 2):  # its own seed, which orders the data, matters not
        ticket = built(
            "methods/lottery",
            f"INITIAL_MASKS={pruned}",
            f"INITIAL_RUN={pruned}",
            f"SEED={seed}",
        )
        for path, (weights, mask) in ticket.items():
            np.testing.assert_array_equal(mask, masks[path])
            np.testing.assert_array_equal(weights, first[path][0] * mask)


def test_a_ticket_can_be_rewound_to_early_weights(pruned):
    ticket = built(
        "methods/lottery",
        f"INITIAL_MASKS={pruned}",
        f"INITIAL_RUN={pruned}",
        "INITIAL_STEP=10",
    )
    with np.load(pruned / "checkpoints" / "00000010.npz") as archive:
        for path, (weights, mask) in ticket.items():
            early = archive[f":model/{path}"]
            np.testing.assert_array_equal(weights, early * mask)


def test_scratch_is_the_mask_on_fresh_weights(pruned):
    masks = storage.load(pruned / "masks.npz")
    scratch = built(
        "methods/scratch", f"INITIAL_MASKS={pruned}/masks.npz", "SEED=5"
    )
    fresh = built("methods/snip", "SPARSITY=0.9", "SEED=5")  # begins dense
    for path, (weights, mask) in scratch.items():
        np.testing.assert_array_equal(mask, masks[path])
        np.testing.assert_array_equal(weights, fresh[path][0] * mask)


def test_shuffled_masks_have_the_counts_of_each_kernel(pruned):
    masks = storage.load(pruned / "masks.npz")
    words = ["methods/scratch", f"INITIAL_MASKS={pruned}", "SHUFFLE_MASKS=True"]
    shuffled, again, other = (
        built(*words, f"SEED={seed}") for seed in (1, 1, 2)
    )
    for path, (_, mask) in shuffled.items():
        assert mask.sum() == masks[path].sum()
        assert (mask != masks[path]).any()
        np.testing.assert_array_equal(mask, again[path][1])
        assert (mask != other[path][1]).any()


def test_shuffling_keeps_the_pattern(tmp_path):
    shape = patterns.ConstantFanIn()
    mask = np.zeros((8, 3), bool)
    mask[[0, 1, 4, 5, 7, 2], [0, 0, 1, 1, 2, 2]] = True
    storage.save(tmp_path / "masks.npz", {"a": mask})
    start = starts.Start(masks=str(tmp_path / "masks.npz"), shuffle_masks=True)
    found = start.read_masks(shape, 0)["a"]
    assert (found.sum(axis=0) == 2).all() and (found != mask).any()


@pytest.mark.parametrize("method", ["rigl", "static"])
def test_a_restart_goes_on_from_weights_and_masks(method, pruned, tmp_path):
    words = [f"methods/{method}", "SPARSITY=None", f"INITIAL_RUN={pruned}"]
    restarted = built(*words)
    masks = storage.load(pruned / "masks.npz")
    with np.load(pruned / "checkpoints" / "00000040.npz") as archive:
        for path, (weights, mask) in restarted.items():
            np.testing.assert_array_equal(mask, masks[path])
            np.testing.assert_array_equal(weights, archive[f":model/{path}"])
    directory = train(tmp_path / "again", *words)
    before = json.loads((pruned / "result.json").read_text(encoding="utf-8"))
    after = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    assert after["distribution"] == "initial_masks"
    assert after["sparsity"] == pytest.approx(before["sparsity_achieved"], 1e-3)
    assert after["loss"] < before["loss"]


def test_a_dense_run_can_be_pruned(dense):
    words = ["methods/one_shot_magnitude", "SPARSITY=0.9"]
    begun = built(*words, f"INITIAL_RUN={dense}")
    with np.load(dense / "checkpoints" / "00000040.npz") as archive:
        for path, (weights, mask) in begun.items():
            assert mask.all()
            np.testing.assert_array_equal(weights, archive[f":model/{path}"])


def test_a_dense_run_brings_weights_but_no_masks(dense):
    begun = built("methods/rigl", "SPARSITY=0.9", f"INITIAL_RUN={dense}")
    fresh = built("methods/rigl", "SPARSITY=0.9")
    for path, (_, mask) in begun.items():
        np.testing.assert_array_equal(mask, fresh[path][1])


def test_counting_reads_the_masks(pruned):
    counts = counting.count(job("methods/scratch", f"INITIAL_MASKS={pruned}"))
    before = json.loads((pruned / "result.json").read_text(encoding="utf-8"))
    assert counts["active_parameters"] == before["active_parameters"]
    assert counts["inference_flops"] == before["inference_flops"]


def one_line(capsys, *words):
    words = ["train", "tasks/digits_mlp", *words, "--workdir=w"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    "words, message",
    [
        (["methods/scratch"], "SPARSITY"),
        (["methods/lottery"], "run that gives the weights (INITIAL_RUN)"),
        (["methods/scratch", "INITIAL_MASKS=no/where"], "'no/where'"),
        (
            ["methods/scratch", "INITIAL_MASKS={pruned}/config.gin"],
            "a zip file",
        ),
        (
            ["methods/rigl", "SPARSITY=0.5", "INITIAL_RUN={pruned}"],
            "must match the given masks",
        ),
        (
            ["methods/rigl", "SPARSITY=0.9", "INITIAL_RUN=no/where"],
            "no config.gin",
        ),
        (
            [
                "methods/rigl",
                "SPARSITY=0.9",
                "INITIAL_RUN={pruned}",
                "INITIAL_STEP=7",
            ],
            "steps 10, 20, 30, 40",
        ),
        (
            ["methods/snip", "SPARSITY=0.9", "INITIAL_MASKS={pruned}"],
            "chooses its masks",
        ),
        (
            ["methods/rigl", "SPARSITY=0.9", "SHUFFLE_MASKS=True"],
            "needs masks of another run",
        ),
        (
            [
                "methods/rigl",
                "SPARSITY=None",
                "INITIAL_RUN={pruned}",
                "SPARSE_INIT=unit_scaled",
            ],
            "set only one",
        ),
        (["methods/set", "SPARSITY=0.9", "SPARSE_INIT=he"], "sparse_init"),
        (
            [
                "methods/scratch",
                "INITIAL_MASKS={pruned}",
                "PATTERN=channel",
            ],
            "must have the pattern channel_sum",
        ),
        (["methods/small_dense", "SPARSITY=0.9", "WIDTH=tiny"], "width"),
        (["methods/dense", "INITIAL_MASKS={pruned}"], "no masks"),
        (["methods/dense", "SPARSE_INIT=unit_scaled"], "no masks"),
        (
            [
                "methods/snip",
                "SPARSITY=0.9",
                "INITIAL_RUN={pruned}",
                "SHUFFLE_MASKS=True",
            ],
            "none for SNIP",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(
    words, message, pruned, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = [word.format(pruned=pruned) for word in words]
    assert message in one_line(capsys, *words)
    assert not (tmp_path / "w").exists()


def test_an_unfinished_run_is_no_beginning(pruned, tmp_path, capsys):
    copy = shutil.copytree(pruned, tmp_path / "copy")
    (copy / "result.json").unlink()
    words = ["methods/static", "SPARSITY=None", f"INITIAL_RUN={copy}"]
    assert "must be finished" in one_line(capsys, *words)


def test_first_weights_of_a_run_that_drew_none_are_refused(
    pruned, tmp_path, capsys
):
    again = train(
        tmp_path / "again",
        "methods/rigl",
        "SPARSITY=None",
        f"INITIAL_RUN={pruned}",
    )
    words = ["methods/lottery", f"INITIAL_MASKS={again}"]
    words.append(f"INITIAL_RUN={again}")
    assert "began with" in one_line(capsys, *words)


def test_weights_of_another_network_are_refused(pruned):
    dense = job("methods/dense")
    net = copying.copy_layer(runs.Run(dense).trainer.model)
    other = networks.Networks(dense, dense.dataset()).dense(2)
    start = starts.Start(run=str(pruned))
    start.restore_weights(net)
    with pytest.raises(files.DamagedFile, match="kernel' as .*64, 600"):
        start.restore_weights(other)
