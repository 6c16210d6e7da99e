"""Runs that are killed, or asked to stop, go on as if they had not been."""

import importlib.util
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

from rigl_tf import cli

ROOT = pathlib.Path(__file__).parents[2]
SHORT = ["TRAIN_STEPS=6", "UPDATE_END_STEP=4", "UPDATE_INTERVAL=2"]
RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98", *SHORT]


def kill_test():
    path = ROOT / "scripts" / "kill_test.py"
    spec = importlib.util.spec_from_file_location("kill_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_killed_runs_end_with_the_bits_of_the_unkilled_one():
    script = kill_test()
    words = [*script.WORDS, "TRAIN_STEPS=700", "UPDATE_END_STEP=600"]
    kills, _, found = script.run(1, words, seed=1)
    assert kills.total() == 1
    assert found == []


def test_differences_are_seen(tmp_path):
    script = kill_test()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        words = [*RIGL, f"SEED={seed}", f"--workdir={tmp_path / name}"]
        assert cli.main(["train", *words]) == 0
    assert script.differences(tmp_path / "a", tmp_path / "b") == []
    found = script.differences(tmp_path / "a", tmp_path / "c")
    assert "result.json" in found and "metrics.jsonl" in found
    assert any("optimizer" in name for name in found)


def test_a_request_to_stop_saves_and_the_same_words_go_on(tmp_path):
    script = kill_test()
    words = [*script.WORDS[:3], "TRAIN_STEPS=100000", f"--workdir={tmp_path}/w"]
    metrics, steps = tmp_path / "w" / "metrics.jsonl", [0]
    for number in (signal.SIGTERM, signal.SIGINT):
        before = size(metrics)
        run = subprocess.Popen(
            [sys.executable, "-m", "rigl_tf", "train", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 120
        while size(metrics) <= before and time.monotonic() < deadline:
            assert run.poll() is None
            time.sleep(0.02)  # poll
        run.send_signal(number)
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 130
        (step,) = re.findall(r"stopped after step (\d+); run the same", errors)
        assert errors.count("\n") == 1
        steps.append(int(step))
        saved = sorted((tmp_path / "w" / "checkpoints").iterdir())[-1]
        assert int(saved.stem) == steps[-1]
        assert not (tmp_path / "w" / "result.json").exists()
    lines = metrics.read_text(encoding="utf-8").splitlines()
    seen = [json.loads(line)["step"] for line in lines]
    assert seen == sorted(set(seen)) and steps == sorted(set(steps))
    assert cli.main(["summary", f"--workdir={tmp_path}/w"]) == 0
    assert cli.main(["evaluate", f"--workdir={tmp_path}/w"]) == 0


def size(path):
    """Return the bytes of a file, 0 without it."""
    return path.stat().st_size if path.exists() else 0
