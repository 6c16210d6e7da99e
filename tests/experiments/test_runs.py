"""What runs leave, and what counts and evaluation say of them."""

import json
import random
import re
import sys

import pytest
import tiny

from rigl_tf import cli
from rigl_tf.experiments import config

SHORT = ["TRAIN_STEPS=6", "UPDATE_END_STEP=4", "UPDATE_INTERVAL=2"]


RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98", *SHORT]


def test_evaluate_repeats_the_result(tmp_path, capsys):
    workdir = f"--workdir={tmp_path / 'w'}"
    assert cli.main(["train", *RIGL, workdir]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", workdir]) == 0
    found = json.loads(capsys.readouterr().out)
    result = json.loads(
        (tmp_path / "w" / "result.json").read_text(encoding="utf-8")
    )
    assert found == {
        "step": 6,
        "loss": result["loss"],
        "accuracy": result["accuracy"],
        "top_5_accuracy": result["top_5_accuracy"],
    }
    assert cli.main(["summary", workdir]) == 0
    assert "dead columns" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["rigl", "snip", "dense"])
def test_count_agrees_with_what_training_does(method, tmp_path, capsys):
    words = [*RIGL[:1], f"methods/{method}", *SHORT]
    words += [] if method == "dense" else ["SPARSITY=0.98"]
    assert cli.main(["count", *words, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["parameters"] == 50_200 + 410  # 64-300-100-10 and biases
    assert cli.main(["train", *words, f"--workdir={tmp_path / 'w'}"]) == 0
    result = json.loads(
        (tmp_path / "w" / "result.json").read_text(encoding="utf-8")
    )
    for counted, trained in zip(counts["layers"], result["layers"]):
        assert counted.items() <= trained.items()
    active = sum(layer["n_active"] for layer in result["layers"])
    if method != "dense":
        assert counts["active_parameters"] == active + 410
    costs = counts.keys() - {"layers", "costs"}
    assert len(costs) == 10
    assert {name: result[name] for name in costs} == {
        name: counts[name] for name in costs
    }
    if method == "rigl":  # 3 f_S per step, 2 f_S + f_D at each update
        f_s, f_d = 2 * active + 410, 2 * 50_200 + 410
        n_updates = len(range(0, 5, 2))
        total = 6 * 3 * f_s + n_updates * (2 * f_s + f_d)
        assert result["inference_flops"] == f_s
        assert result["train_flops"] == 100 * total  # batches of 100
    assert cli.main(["count", *words]) == 0
    assert "parameters 50,610" in capsys.readouterr().out


def test_tensorboard_files_are_written(tmp_path):
    words = [*RIGL, "TENSORBOARD=True", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 0
    (events,) = (tmp_path / "w" / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"accuracy" in content and b"sparsity/fc1/kernel" in content


def test_missing_tensorboard_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = [*RIGL, "TENSORBOARD=True", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 2
    assert "rigl-tf[tensorboard]" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_model_without_room_is_a_mistake(capsys):
    words = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9"]
    words.append(f"models.mlp.hidden=({10**15},100)")
    assert cli.main(["count", *words]) == 2
    error = capsys.readouterr().err
    assert "out of memory" in error and "BATCH_SIZE" in error
    assert error.count("\n") == 1


def mutants(rng, n_mutants):
    """Yield `(name, gin source)`: shipped files with one random change."""
    names = config.shipped("methods") + ["tasks/digits_mlp"]
    for _ in range(n_mutants):
        name = rng.choice(names)
        text = (config.directory() / f"{name}.gin").read_text(encoding="utf-8")
        lines = text.splitlines()
        index = rng.randrange(len(lines))
        kind = rng.choice(["drop", "swap", "cut", "char", "value", "twice"])
        line = lines[index]
        if kind == "drop":
            del lines[index]
        elif kind == "twice":
            lines.insert(index, line)
        elif kind == "cut":
            lines[index] = line[: rng.randrange(len(line) + 1)]
        elif kind == "char" and line:
            at = rng.randrange(len(line))
            lines[index] = line[:at] + rng.choice("@%('=.x0 ") + line[at + 1 :]
        elif kind == "value":
            value = rng.choice(["-1", "0", "None", "'x'", "1e9", "[]", "True"])
            lines[index] = re.sub(r"= .*", f"= {value}", line)
        else:
            other = rng.randrange(len(lines))
            lines[index], lines[other] = lines[other], lines[index]
        yield name, "\n".join(lines) + "\n"


@pytest.mark.slow
def test_mutants_of_the_shipped_files_end_well(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seed = 2020
    codes = {0: 0, 2: 0}
    for index, (name, text) in enumerate(mutants(random.Random(seed), 200)):
        file = tmp_path / f"{index}.gin"
        file.write_text(text, encoding="utf-8")
        task = str(file) if name.startswith("tasks") else "tasks/digits_mlp"
        method = str(file) if name.startswith("methods") else "methods/rigl"
        words = [task, method]
        if "SPARSITY =" not in text:
            words.append("SPARSITY=0.9")
        code = cli.main(["count", *words])
        error = capsys.readouterr().err
        message = f"seed {seed}, mutant {index} of {name}:\n{text}\n{error}"
        assert code in codes, message
        assert (code == 2) == bool(error), message
        assert error.count("\n") == int(code == 2), message
        codes[code] += 1
    assert min(codes.values()) > 20, codes


def test_kernels_without_any_connection_are_reported(tmp_path):
    words = ["tasks/digits_mlp", "methods/snip", "SPARSITY=0.9999", *SHORT]
    words += ["updaters.SNIP.scope=global", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 0


@pytest.mark.slow
def test_directories_may_hold_an_equals_sign(tmp_path, capsys):
    workdir = f"--workdir={tmp_path / 'lr=0.1'}"
    assert cli.main(["train", *RIGL, workdir]) == 0
    assert cli.main(["evaluate", workdir]) == 0
    assert '"step": 6' in capsys.readouterr().out


@pytest.mark.slow
def test_averages_of_weights_are_what_is_evaluated(tmp_path):
    words = tiny.WORDS
    average = ["keras.optimizers.SGD.use_ema=True"]
    average += ["keras.optimizers.SGD.ema_momentum=0.9"]
    found = []
    for name, more in (("last", []), ("average", average)):
        workdir = tmp_path / name
        flags = [*words, *more, f"--workdir={workdir}"]
        assert cli.main(["train", *flags]) == 0
        text = (workdir / "result.json").read_text(encoding="utf-8")
        found.append(json.loads(text)["loss"])
    last, averaged = found
    assert averaged != last  # though the steps are the same


@pytest.mark.slow
def test_a_resumed_run_keeps_its_first_masks(tmp_path):
    words = [*tiny.WORDS, "RECORD_MASKS=True", f"--workdir={tmp_path}"]
    assert cli.main(["train", *words]) == 0
    first = (tmp_path / "masks" / "00000000.npz").read_bytes()
    (tmp_path / "result.json").unlink()
    (tmp_path / "checkpoints" / "00000012.npz").unlink()
    assert cli.main(["train", *words]) == 0
    assert (tmp_path / "masks" / "00000000.npz").read_bytes() == first
    last = (tmp_path / "masks" / "00000012.npz").read_bytes()
    assert last != first


@pytest.mark.slow
def test_any_checkpoint_is_evaluated(tmp_path, capsys):
    words = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9"]
    words += ["TRAIN_STEPS=8", "UPDATE_END_STEP=4", "CHECKPOINT_INTERVAL=4"]
    workdir = f"--workdir={tmp_path / 'w'}"
    assert cli.main(["train", *words, workdir]) == 0
    capsys.readouterr()
    found = {}
    for step in (4, 8):
        flags = [workdir, f"--step={step}", "--per_class"]
        assert cli.main(["evaluate", *flags]) == 0
        first, *table = capsys.readouterr().out.splitlines()
        found[step] = json.loads(first)
        assert found[step]["step"] == step
        assert found[step]["top_5_accuracy"] >= found[step]["accuracy"]
        assert len(table) == 11
    assert found[4]["loss"] != found[8]["loss"]
    assert cli.main(["evaluate", workdir, "--step=5"]) == 2
    assert "checkpoints of the steps 4, 8" in capsys.readouterr().err
    assert cli.main(["evaluate", workdir, "--batch_statistics"]) == 2
    assert "which has none" in capsys.readouterr().err
