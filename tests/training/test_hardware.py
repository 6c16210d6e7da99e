"""Choice of hardware, and what its choice must not change."""

import json
import os
import re

import keras
import method_rows
import numpy as np
import params
import pytest
import tensorflow as tf
import tiny

from rigl_tf import cli
from rigl_tf import updaters
from rigl_tf.training.hardware import cluster_config
from rigl_tf.training.hardware import strategies
from rigl_tf.training.hardware import workers

RIGL = tiny.WORDS


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "TF_CONFIG must read"),
        ("{}", "TF_CONFIG must read"),
        (
            json.dumps(
                {
                    "cluster": {"worker": ["a:1"]},
                    "task": {"type": "worker", "index": 1},
                }
            ),
            "index for each worker",
        ),
        (
            json.dumps(
                {"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}
            ),
            "TF_CONFIG must read",
        ),
    ],
)
def test_bad_clusters_are_refused(text, words, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=words):
        strategies.multi_worker()


def test_workers_must_be_known(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="neither TF_CONFIG, nor --workers"):
        strategies.multi_worker(port=9999)


@pytest.mark.parametrize(
    "hosts, index, words",
    [
        (["a"], 0, "host:port.*'a'"),
        (["a:b"], 0, "host:port.*'a:b'"),
        (["a:1", "b:1"], 2, r"\[0, 2\).*Received: 2"),
        (["a:1", "b:1"], -1, r"\[0, 2\).*Received: -1"),
    ],
)
def test_bad_addresses_are_refused(hosts, index, words):
    with pytest.raises(ValueError, match=words):
        cluster_config.tf_config(hosts, index)


@pytest.mark.parametrize(
    "nodes, tasks, rank, expected",
    [
        (
            "node[1-2]",
            "2(x2)",
            2,
            ["node1:90", "node1:91", "node2:90", "node2:91"],
        ),
        # Slurm's order, not that of strings; ranges keep their zeros.
        (
            "n[2,9-11],login",
            "1(x4),2",
            3,
            ["n2:90", "n9:90", "n10:90", "n11:90", "login:90", "login:91"],
        ),
        ("gpu[08-10]", "1(x3)", 0, ["gpu08:90", "gpu09:90", "gpu10:90"]),
        ("alone", "1", 0, ["alone:90"]),
    ],
)
def test_slurm_says_who_is_who(nodes, tasks, rank, expected, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in {
        "SLURM_PROCID": str(rank),
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
    }.items():
        monkeypatch.setenv(name, value)
    resolver = strategies._cluster(90)
    assert resolver.cluster_spec().as_dict() == {"worker": expected}
    assert (resolver.task_type, resolver.task_id) == ("worker", rank)


@pytest.mark.parametrize(
    "name, arguments, error, words",
    [
        (
            "gpu",
            {},
            ValueError,
            "needs a visible GPU.*Received: 0.*hardware/cpu",
        ),
        ("gpu", {"devices": 2}, ValueError, r"2 visible GPU\(s\)"),
        ("gpu", {"devices": 0}, ValueError, "at least 1"),
        ("cpu", {"devices": 0}, ValueError, "at least 1"),
        ("cpu", {"devices": "2"}, TypeError, "an integer"),
        ("cpu", {"devices": 3}, ValueError, "before TensorFlow runs"),
        ("tpu", {}, ValueError, "needs a Cloud TPU.*address='local'"),
        (
            "multi_worker",
            {"communication": "pigeon"},
            ValueError,
            "auto, ring, nccl",
        ),
        ("Hardware", {"precision": "int8"}, ValueError, "float32, float64"),
        ("Hardware", {"strategy": 3}, TypeError, "a function"),
        ("Hardware", {"input_buffer": 0}, ValueError, "at least 1"),
        ("Hardware", {"sync_batch_norm": 1.5}, ValueError, "True, False"),
    ],
)
def test_missing_hardware_is_told(name, arguments, error, words):
    tf.constant(0)  # TensorFlow runs
    with pytest.raises(error, match=words):
        getattr(strategies, name)(**arguments)


def test_a_strategy_must_be_one():
    with pytest.raises(ValueError, match="tf.distribute.Strategy.*one"):
        strategies.Hardware(strategy=lambda: "one").create()


def test_batches_must_divide(mirrored):
    with pytest.raises(ValueError, match="multiple of the 2.*batch_size=33"):
        strategies.Hardware().check(mirrored, 33)
    with pytest.raises(ValueError, match="several CPU devices"):
        strategies.Hardware(jit_compile=True).check(mirrored, 32)


@pytest.mark.slow
def test_synchronised_batch_normalisation_is_that_of_one_device(mirrored):
    """BatchNorm over the global batch: two replicas compute what one does."""

    def train(strategy):
        keras.utils.set_random_seed(0)
        hardware = strategies.Hardware(
            precision="float64", sync_batch_norm=True
        )
        with hardware.scope(strategy):
            model = keras.Sequential(
                [
                    keras.Input((6,)),
                    keras.layers.Dense(8, name="fc1"),
                    keras.layers.BatchNormalization(momentum=0.5),
                    keras.layers.Dense(4, name="fc2"),
                ]
            )
            optimizer = hardware.adapt(model, tiny.sgd())
        trainer = tiny.rigl_tf.SparseTrainer(
            model, None, optimizer, tiny.LOSS, strategy
        )
        trainer.train(tiny.batches(dtype="float64"), 5)
        return [variable.numpy() for variable in model.weights]

    alone = train(tf.distribute.get_strategy())
    for a, b in zip(alone, train(mirrored)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_precisions_are_as_asked():
    strategy = tf.distribute.get_strategy()
    hardware = strategies.Hardware(precision="mixed_float16")
    with hardware.scope(strategy):
        model = tiny.mlp()
    assert keras.config.dtype_policy().name == "float32"
    assert model.layers[0].compute_dtype == "float16"
    assert model.layers[0].kernel.dtype == "float32"
    optimizer = hardware.adapt(model, tiny.sgd())
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize(
    "precision",
    params.cover(list(strategies.PRECISIONS), quick=["mixed_float16"]),
)
def test_every_precision_trains(precision, tmp_path):
    words = [*RIGL, f"PRECISION={precision}", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 0
    result = json.loads(
        (tmp_path / "w/result.json").read_text(encoding="utf-8")
    )
    assert result["loss"] < 3 and result["accuracy"] > 0.1


@pytest.mark.slow
def test_a_run_may_move_to_other_hardware(mirrored, tmp_path, capsys):
    """Same words, another strategy; another precision is another run."""
    workdir = f"--workdir={tmp_path / 'w'}"
    whole = f"--workdir={tmp_path / 'whole'}"
    assert cli.main(["train", *RIGL, workdir]) == 0
    # As if it had been killed after step 6.
    (tmp_path / "w/result.json").unlink()
    (tmp_path / "w/checkpoints/00000012.npz").unlink()
    moved = [*RIGL, "hardware/cpu", "DEVICES=2", "SYNC_BATCH_NORM=False"]
    assert cli.main(["train", *moved, workdir]) == 0
    assert cli.main(["train", *RIGL, "PRECISION=float64", workdir]) == 2
    assert "PRECISION = 'float64'" in capsys.readouterr().err
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "w/metrics.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()
    ]
    assert steps == [4, 8, 12]
    assert cli.main(["train", *RIGL, whole]) == 0
    results = [
        json.loads(
            (tmp_path / name / "result.json").read_text(encoding="utf-8")
        )
        for name in ("w", "whole")
    ]
    assert results[0]["replicas"] == 2
    # The history of the masks, over both kinds of hardware.
    assert results[0]["itop_rate"] == results[1]["itop_rate"]
    assert results[0]["layers"] == results[1]["layers"]


def test_profiles_are_written(tmp_path):
    words = [*RIGL, "PROFILE_STEPS=3,5", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 0
    assert list(tmp_path.glob("w/profile/plugins/profile/*/*.xplane.pb"))
    line = (
        (tmp_path / "w/metrics.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()[-1]
    )
    record = json.loads(line)
    assert {"input", "step", "update", "checkpoint"} <= set(record["seconds"])
    assert record["examples_per_second"] > 0


@pytest.mark.parametrize("steps", ["5", "5,3", "0,3", "3,40", "a,b"])
def test_bad_profiles_are_refused(steps, tmp_path, capsys):
    words = [*RIGL, f"PROFILE_STEPS={steps}", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 2
    assert re.search("profile_steps|PROFILE_STEPS", capsys.readouterr().err)
    assert not (tmp_path / "w").exists()


class Pair:
    """Two workers in one process: what their collective would return."""

    def __init__(self, index):
        self.everyone = workers.Workers(tf.distribute.get_strategy())
        self.everyone.count, self.everyone.index = 2, index


def test_the_chief_decides_alone_and_tells():
    chief, other = Pair(0).everyone, Pair(1).everyone
    sent = []
    chief._sum = lambda values: sent.append(np.asarray(values)) or sent[-1]
    value = {"array": np.arange(5.0), "text": "x" * 100}
    assert chief.from_chief(lambda: value)["text"] == value["text"]
    other._sum = lambda values: sent.pop(0).astype(float)
    heard = other.from_chief(lambda: pytest.fail("not the chief"))
    np.testing.assert_array_equal(heard["array"], value["array"])


def test_a_failing_chief_is_told_to_all():
    chief, other = Pair(0).everyone, Pair(1).everyone
    sent = []
    chief._sum = lambda values: sent.append(values) or values

    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        chief.from_chief(fail)
    other._sum = lambda values: sent.pop(0)
    with pytest.raises(workers.ChiefRefused, match="its own line says why"):
        other.from_chief(fail)


def test_words_must_be_the_same_everywhere(capsys):
    words = ["--workers=127.0.0.1:1,127.0.0.1:2", "--worker=1"]
    before = os.environ.get("TF_CONFIG")
    try:
        assert cli.main(["train", *RIGL, *words]) == 2
    finally:
        os.environ.pop("TF_CONFIG")
        if before is not None:
            os.environ["TF_CONFIG"] = before
    assert "is for hardware/multi_worker" in capsys.readouterr().err


HOST = re.compile(r"outfeed|infeed|\bsend\(|\brecv\(|callback|HostCompute")


@pytest.mark.parametrize(
    "method, pattern",
    params.cover(
        method_rows.EACH_NEED,
        quick=lambda value: value[0].name in method_rows.SAMPLE,
    ),
    ids=lambda value: getattr(value, "name", value),
)
def test_steps_compile_without_host_calls_or_dynamic_shapes(method, pattern):
    trainer = tiny.trainer(method.build(), pattern=pattern)
    batch = next(iter(tiny.batches()))
    text = hlo(trainer._replica_step, batch)
    assert not HOST.search(text)
    assert "<=" not in text and not re.search(r"\bsort\(", text)
    if method.updates:
        if trainer.updater.needs.batch:
            text = hlo(trainer._replica_update, batch)
        else:
            text = hlo(lambda: trainer._replica_update())
        assert not HOST.search(text)
        assert "<=" not in text


def hlo(function, *arguments):
    compiled = tf.function(function, autograph=False, jit_compile=True)
    return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")


def test_regularisers_count_once_for_all_replicas(mirrored):
    def build(dtype):
        penalty = keras.regularizers.L2(0.5)
        dense = keras.layers.Dense(4, kernel_regularizer=penalty)
        return keras.Sequential([keras.Input((6,)), dense])

    kernels = []
    for strategy in (None, mirrored):
        keras.utils.set_random_seed(0)
        trainer = tiny.trainer(
            updaters.Static(), strategy=strategy, build=build
        )
        trainer.train(tiny.batches(), 4)
        kernels.append(trainer.kernels[0].kernel.numpy())
    np.testing.assert_allclose(*kernels, atol=1e-6)


@pytest.mark.parametrize("after", ["step", "update"])
def test_moving_statistics_are_those_of_all_replicas(after, mirrored):
    def build(dtype):
        norm = keras.layers.BatchNormalization(name="norm")
        dense = keras.layers.Dense(4)
        return keras.Sequential([keras.Input((6,)), norm, dense])

    trainer = tiny.trainer(tiny.rigl(), strategy=mirrored, build=build)
    data = iter(mirrored.experimental_distribute_dataset(tiny.batches()))
    if after == "step":
        trainer.run_steps(data, 1)
    else:
        trainer.update(data)
    norm = trainer.model.get_layer("norm")
    for variable in (norm.moving_mean, norm.moving_variance):
        first, second = (np.asarray(v) for v in variable.value.values)
        np.testing.assert_array_equal(first, second)
        assert np.ptp(first) > 0


@pytest.mark.slow
def test_two_replicas_agree_with_batch_normalisation(mirrored):
    trainer = tiny.wide_resnet_trainer(mirrored)
    before = [item.mask.numpy() for item in trainer.kernels]
    trainer.train(tiny.images(), 4)
    for variable in [
        *trainer.model.weights,
        *(item.mask for item in trainer.kernels),
    ]:
        first, second = (np.asarray(v) for v in variable.value.values)
        np.testing.assert_array_equal(first, second)
    assert any(
        (old != item.mask.numpy()).any()
        for old, item in zip(before, trainer.kernels)
    )
