"""Which runs of a sweep a process makes, in which order, and with what."""

import os
import pathlib
import types

import pytest

from rigl_tf.experiments import process_environments
from rigl_tf.experiments import run_queue

ALONE = [([f"SEED={seed}"], pathlib.Path(f"w{seed}")) for seed in range(7)]


def needing(name):
    return f"INITIAL_RUN={str(pathlib.Path(name).resolve())!r}"


# The third needs the first, the last the third.
CHAIN = [
    ([], pathlib.Path("a")),
    ([], pathlib.Path("b")),
    ([needing("a")], pathlib.Path("c")),
    ([], pathlib.Path("d")),
    ([needing("c"), "INITIAL_MASKS=None"], pathlib.Path("e")),
]


def names(runs):
    return [str(workdir) for _, workdir in runs]


def test_a_part_is_every_nth_run():
    parts = [names(run_queue.shard(ALONE, f"{i}/3")) for i in range(3)]
    assert parts == [["w0", "w3", "w6"], ["w1", "w4"], ["w2", "w5"]]
    assert run_queue.shard(ALONE, "0/1") == ALONE
    assert run_queue.shard(ALONE, "8/9") == []


def test_runs_that_need_each_other_are_in_one_part():
    assert names(run_queue.shard(CHAIN, "0/2")) == ["a", "c", "e"]
    assert names(run_queue.shard(CHAIN, "1/2")) == ["b", "d"]


@pytest.mark.parametrize("part", ["3/3", "0/0", "1", "-1/2", "a/b", "1/2/3"])
def test_what_is_no_part_is_refused(part):
    with pytest.raises(ValueError, match=f"I/N.*Received: --shard={part}"):
        run_queue.shard(ALONE, part)


def test_held_runs_are_tried_once_more_after_all_others():
    queue = run_queue.Queue(CHAIN)
    order = []
    while (run := queue.take()) is not None:
        order.append(str(run.workdir))
        if str(run.workdir) == "a" and order.count("a") == 1:
            queue.hold(run)
        else:
            queue.done(run)
    assert order == ["a", "b", "d", "a", "c", "e"]
    assert queue.left_out() == []


def test_what_cannot_begin_is_told():
    queue = run_queue.Queue(CHAIN)
    while (run := queue.take()) is not None:
        (queue.hold if str(run.workdir) == "a" else queue.done)(run)
    assert queue.left_out() == [
        "[1/5] left out: another process is training it: a",
        "[3/5] left out: it needs a run that is not finished: c",
        "[5/5] left out: it needs a run that is not finished: e",
    ]


def test_nothing_is_tried_again_while_a_run_may_end():
    queue = run_queue.Queue(CHAIN[:3])
    first, second = queue.take(), queue.take()
    queue.hold(first)
    assert queue.take(idle=False) is None
    queue.done(second)
    assert queue.take(idle=True) == first


def devices(n_processes, **environment):
    dealt = process_environments.shared(n_processes, environment)
    return [own.get("CUDA_VISIBLE_DEVICES") for own in dealt]


@pytest.mark.parametrize(
    "n_processes, visible, expected",
    [
        (2, "0,1", ["0", "1"]),
        (3, "4,7", ["4", "7", "4"]),
        (2, "0,1,2,3,4", ["0,1", "2,3"]),
        (2, "GPU-a, MIG-b", ["GPU-a", "MIG-b"]),
        (2, "0,-1,1", ["0", "0"]),
        (2, "", ["", ""]),
        (2, "-1", ["-1", "-1"]),
    ],
)
def test_devices_are_dealt_out(n_processes, visible, expected):
    assert devices(n_processes, CUDA_VISIBLE_DEVICES=visible) == expected


LISTS = {
    "GPU 0: NVIDIA H100 (UUID: GPU-1)\nGPU 1: NVIDIA H100 (UUID: GPU-2)\n": [
        "0",
        "1",
    ],
    "GPU 0: A100 (UUID: GPU-1)\n  MIG 1g.10gb Device 0: (UUID: MIG-7)\n"
    "  MIG 1g.10gb Device 1: (UUID: MIG-8)\n": ["MIG-7", "MIG-8"],
    "No devices were found\n": [None, None],
}


@pytest.mark.parametrize("text, expected", LISTS.items())
def test_the_driver_is_asked(text, expected, monkeypatch):
    answer = types.SimpleNamespace(returncode=0, stdout=text)
    run = types.SimpleNamespace(run=lambda *_, **__: answer)
    monkeypatch.setattr(process_environments, "subprocess", run)
    monkeypatch.setattr(process_environments.shutil, "which", lambda name: name)
    assert devices(2) == expected


def test_memory_grows_where_there_are_devices(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    (own, _) = process_environments.shared(
        2, {"CUDA_VISIBLE_DEVICES": "0", "A": "b"}
    )
    assert own == {
        "A": "b",
        "CUDA_VISIBLE_DEVICES": "0",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_NUM_INTRAOP_THREADS": "4",
    }
    mine = {"CUDA_VISIBLE_DEVICES": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "false"}
    (own,) = process_environments.shared(1, mine)
    assert own["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"
    (own,) = process_environments.shared(1, {"CUDA_VISIBLE_DEVICES": "-1"})
    assert "TF_FORCE_GPU_ALLOW_GROWTH" not in own
