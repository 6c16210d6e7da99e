"""Two real processes on this machine."""

import json
import random
import signal
import subprocess
import sys
import time

import keras
import kill_test
import launch_local
import method_rows
import numpy as np
import pytest
import sparse_layers
import tensorflow as tf
import tiny
import two_workers

N_STEPS = 300
WORDS = [
    "tasks/digits_mlp",
    "methods/rigl",
    "hardware/multi_worker",
    "SPARSITY=0.9",
    f"TRAIN_STEPS={N_STEPS}",
    "UPDATE_END_STEP=250",
    "LOG_INTERVAL=20",
    "CHECKPOINT_INTERVAL=20",
]


def start_pair(make_command):
    """Start two processes; return them."""
    addresses = ",".join(f"127.0.0.1:{p}" for p in launch_local.ports(2))
    return [
        subprocess.Popen(
            make_command(index, addresses),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def train_pair(*words):
    """Start two workers of the command line."""

    def command(index, addresses):
        return [
            *(sys.executable, "-m", "rigl_tf", "train", *words),
            f"--workers={addresses}",
            f"--worker={index}",
        ]

    return start_pair(command)


def test_two_processes_train_like_one(tmp_path):
    """Each kind of method: masks bit for bit, float64 weights to 1e-10.

    Truly sparse layers: the same connections. And a network with batch
    normalisation: the same bits in both processes.
    """
    pair = start_pair(
        lambda index, addresses: [
            *(sys.executable, two_workers.__file__, str(index)),
            *(addresses, str(tmp_path)),
        ]
    )
    # Meanwhile this process trains alone.
    expected = {m.name: alone(m, p) for m, p in method_rows.SHARED}
    alone_sparse = sparse_layers.trainer()
    alone_sparse.train(sparse_layers.batches(), sparse_layers.N_STEPS)
    sparse = two_workers.states(alone_sparse)
    for process in pair:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-2000:]

    def load_equal(name):
        first, second = (
            dict(np.load(tmp_path / f"{name}-{i}.npz")) for i in range(2)
        )
        assert first.keys() == second.keys()
        for entry in first:
            np.testing.assert_array_equal(first[entry], second[entry])
        return first

    assert load_equal("wide_resnet")
    require_close(load_equal("truly_sparse"), sparse, 1e-5)
    for method in expected:
        require_close(load_equal(method), expected[method], 1e-10)


def require_close(trained, expected, tolerance):
    """Require equal masks and indices, and weights that are close."""
    assert trained.keys() == expected.keys()
    for name, array in expected.items():
        is_weight = name.startswith("weight:") and array.dtype.kind == "f"
        np.testing.assert_allclose(
            trained[name],
            array,
            rtol=0,
            atol=tolerance if is_weight else 0,
            err_msg=name,
        )


def alone(method, pattern):
    """Train a method in this process; return its states."""
    keras.utils.set_random_seed(0)
    trainer = tiny.trainer(method.build(), dtype="float64", pattern=pattern)
    trainer.train(tiny.batches(dtype="float64"), method_rows.N_STEPS)
    return two_workers.states(trainer)


def test_the_chief_writes_and_killed_workers_end_with_the_same_bits(tmp_path):
    """And all are told that a run is finished, or why it does not start."""
    words = [*WORDS, "RECORD_MASKS=True", "PREDICTIONS=True"]
    workdir = tmp_path / "run"
    pair = train_pair(*words, f"--workdir={workdir}")
    outputs = [process.communicate(timeout=300) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    assert "test accuracy" in outputs[0][0]
    assert outputs[1][0] == ""
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == list(range(20, N_STEPS + 1, 20))
    result = json.loads((workdir / "result.json").read_text(encoding="utf-8"))
    n_devices = len(tf.config.list_physical_devices("CPU"))
    assert result["replicas"] == 2 * n_devices
    with np.load(workdir / "predictions.npz") as found:
        right = found["labels"] == found["predicted"]
    assert result["accuracy"] == pytest.approx(right.mean())
    assert right.shape == (360,)

    killed, rng = tmp_path / "killed", random.Random(1)
    seconds = json.loads(lines[-1])["wall_seconds"]
    done = kill_test.kill_workers(killed, words, rng, seconds / 8, 1, 2)
    assert done == ["one"]
    assert kill_test.differences(workdir, killed) == []

    pair = train_pair(*words, f"--workdir={workdir}")
    outputs = [process.communicate(timeout=300) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    assert "finished: nothing to do" in outputs[0][0]

    (workdir / "result.json").unlink()
    pair = train_pair(*words, "SEED=1", f"--workdir={workdir}")
    outputs = [process.communicate(timeout=300) for process in pair]
    assert pair[0].returncode == 2
    assert "SEED = 1" in outputs[0][1]
    assert pair[1].returncode == 2
    assert "the chief refused" in outputs[1][1]
    for _, errors in outputs:
        assert "Traceback" not in errors


def test_a_mistake_is_told_by_all(tmp_path):
    def command(index, addresses):
        return [
            *(sys.executable, "-m", "rigl_tf", "train", *WORDS),
            f"SEED={index}",
            *(f"--workers={addresses}", f"--worker={index}"),
            f"--workdir={tmp_path / 'run'}",
        ]

    pair = start_pair(command)
    outputs = [process.communicate(timeout=300) for process in pair]
    assert [process.returncode for process in pair] == [2, 2], outputs
    for _, errors in outputs:
        assert "must be given the same words" in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_survivors_of_a_kill_end_with_130(tmp_path):
    long = [*WORDS, "TRAIN_STEPS=100000", "UPDATE_END_STEP=1000"]
    pair = train_pair(*long, f"--workdir={tmp_path / 'run'}")
    wait_for_checkpoint(tmp_path / "run", pair)
    pair[1].kill()
    outputs = [process.communicate(timeout=300) for process in pair]
    assert pair[0].returncode == 130, outputs
    assert "lost another worker" in outputs[0][1]
    assert "Traceback" not in outputs[0][1]


def test_one_preempted_worker_stops_all_and_all_go_on(tmp_path):
    """SIGTERM to one: a checkpoint, exit 130 of both; one process goes on."""
    long = [*WORDS, "TRAIN_STEPS=100000", "UPDATE_END_STEP=1000"]
    workdir = tmp_path / "run"
    pair = train_pair(*long, f"--workdir={workdir}")
    wait_for_checkpoint(workdir, pair)
    pair[1].send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=300) for process in pair]
    assert [process.returncode for process in pair] == [130, 130], outputs
    steps = sorted(int(f.stem) for f in workdir.glob("checkpoints/*.npz"))
    assert f"stopped after step {steps[-1]}" in outputs[0][1]
    assert f"stopped after step {steps[-1]}" in outputs[1][1]
    for _, errors in outputs:
        assert "Traceback" not in errors

    # With one replica: the same masks to begin with, from the same step on.
    one = subprocess.Popen(
        [
            *(sys.executable, "-m", "rigl_tf", "train", *long),
            *("STRATEGY=None", "INPUT_BUFFER=1", f"--workdir={workdir}"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_checkpoint(workdir, [one], after=steps[-1])
    one.send_signal(signal.SIGTERM)
    _, errors = one.communicate(timeout=300)
    assert one.returncode == 130, errors
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    seen = [json.loads(line)["step"] for line in lines]
    assert seen == sorted(set(seen))


def wait_for_checkpoint(workdir, processes, after=0):
    """Wait until a checkpoint of a later step is there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [int(f.stem) for f in workdir.glob("checkpoints/[0-9]*.npz")]
        if max(found, default=0) > after:
            return
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.05)  # poll
    raise AssertionError("no checkpoint within two minutes")
