import importlib.util
import json
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def benchmarks(monkeypatch):
    """Return the folder of the benchmarks, in which they find each other."""
    monkeypatch.syspath_prepend(str(SCRIPTS / "benchmarks"))
    return "benchmarks"


def test_benchmarks_measure_all_candidates_in_turn(benchmarks):
    bench = load(f"{benchmarks}/common")
    calls = []
    candidates = {name: lambda name=name: calls.append(name) for name in "abc"}
    medians = bench.measure(candidates, 3)
    assert set(medians) == {"a", "b", "c"}
    assert "".join(calls[-9:]) == "abcbcacab"


def test_the_benchmark_runs_every_kind_of_step(benchmarks):
    bench = load(f"{benchmarks}/step")
    row = bench.bench_model(lambda: (tiny.mlp(), 8), 2)
    ratios = ("noise", "masked_step", "loop_over_keras", "masked_loop")
    assert all(row[name] > 0 for name in (*ratios, "masked_tape"))
    assert bench.table([row]).count("\n") == 2


def test_the_benchmark_of_exports_judges_what_it_measures(
    benchmarks, monkeypatch, capsys
):
    bench = load(f"{benchmarks}/export")
    monkeypatch.setattr(
        bench.latency, "_in_process", lambda function, *args: function(*args)
    )
    monkeypatch.setattr(
        bench.latency, "_limited", lambda *_: bench.runners.litert
    )
    monkeypatch.setattr(bench, "_SIZE", 64)
    monkeypatch.setattr(bench.latency, "_peak_bytes", lambda *_: 10**6)
    table = bench.main(["--rows", "fc"]).splitlines()
    assert len(table) == 2 + 2 * len(bench.LAYERS)
    assert all(line.endswith(("| yes |", "| no |")) for line in table[2:])
    assert table[-1] in capsys.readouterr().out


@pytest.mark.parametrize("engaged, holds", [(2, "yes"), (0, "no")])
def test_the_benchmark_of_arm_compares_both_verdicts(
    benchmarks, engaged, holds, monkeypatch, capsys
):
    bench = load(f"{benchmarks}/arm")
    outputs = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    found = {
        name: bench.emulated.Found(outputs, seconds)
        for name, seconds in (("random", 5.0), ("control", 4.0), ("sparse", 1))
    }
    case = bench.Case("net", wanted=(4.5, 4.0))
    report = bench.xnnpack.XnnpackReport(2, engaged, ())
    cells = bench._cells(case, found, report, outputs)
    assert cells[1:3] == ("5.0", "4.0") and cells[-2:] == ("sparse", holds)
    slow = bench.Case("net", wanted=(4.5, 4.1))
    assert bench._cells(slow, found, report, outputs)[-1] == "no"
    assert bench._cells(case, found, report, outputs + 1)[-1] == "no"
    monkeypatch.setattr(bench.emulated.shutil, "which", lambda _: "qemu")
    monkeypatch.setenv("RIGL_TF_ARM", "/nowhere")
    with pytest.raises(SystemExit, match="2"):
        bench.main([])
    assert "scripts/arm.sh" in capsys.readouterr().err


@pytest.mark.usefixtures("tfds_dir")
def test_twins_are_compared(monkeypatch, capsys):
    parity = load("parity")
    small = ((48, 32), (0.9,), ("rigl", "static"), ("SGD, momentum",))
    monkeypatch.setattr(parity, "RUNS", {"small": small})
    monkeypatch.setattr(parity, "INTERVAL", 2)
    parity.main(["--steps", "7", "--runs", "small"])
    rows = capsys.readouterr().out.strip().splitlines()[-2:]
    assert "rigl | SGD, momentum | 4 of 4" in rows[0]
    assert "static | SGD, momentum | –" in rows[1]
    for row in rows:
        assert float(row.split("|")[-2]) < 1e-4


def test_tables_go_between_their_markers():
    docs_table = load("docs_table")
    text = "a\n<!-- table: x -->\nold\n<!-- end of table -->\nb"
    assert docs_table.insert(text, "x", "new") == (
        "a\n<!-- table: x -->\nnew\n<!-- end of table -->\nb"
    )
    with pytest.raises(ValueError, match="must hold.*'y'"):
        docs_table.insert(text, "y", "new")
    assert re.fullmatch(
        r"`cmd`, \d+ CPU cores \(\w+\), \d{4}-\d\d-\d\d\.",
        docs_table.caption("cmd"),
    )


def test_the_benchmark_of_the_start_measures_each_part(benchmarks):
    bench = load(f"{benchmarks}/start")
    row = bench.bench_start(lambda: (tiny.mlp(), 8), 1)
    assert all(value > 0 for name, value in row.items() if name != "model")
    assert bench.table([row]).count("\n") == 2


def test_the_benchmark_of_methods_runs_all_of_them(benchmarks):
    bench = load(f"{benchmarks}/methods")
    rows = bench.bench(lambda: (tiny.mlp(), 8), 2)
    assert [name for name, _, _ in rows] == ["dense again", *bench.METHODS]
    assert all(step > 0 for _, step, _ in rows)
    assert all(update > 0 for _, _, update in rows[1:])


FAKE_GCLOUD = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
  *describe*) cat "$STATE" ;;
  *"rigl_tf train"*)
    echo run >> "$RUNS"
    if [ "$(wc -l < "$RUNS")" -lt 3 ]; then exit 130; fi ;;
esac
"""
TPU = ["--name=t", "--zone=z"]
TRAIN = ["--", "tasks/imagenet_resnet50", "hardware/tpu", "--workdir=gs://b/r"]


def test_tpu_commands_are_printed(capsys):
    script = load("cloud_tpu")
    flags = [*TPU, "--spot", "--accelerator=v4-32", "--pod", "--dry_run"]
    assert script.main(["all", *flags, *TRAIN]) == 0
    found = re.split(r"(?:^|\n)(?=gcloud)", capsys.readouterr().out)
    gcloud = [shlex.split(text) for text in found if text[:6] == "gcloud"]
    assert [line[4] for line in gcloud] == [
        *("create", "scp", "ssh", "ssh", "delete"),
    ]
    assert {"--accelerator-type=v4-32", "--spot", "--zone=z"} <= {*gcloud[0]}
    assert "tensorflow-tpu" in gcloud[2][7] and "--worker=all" in gcloud[2]
    command = gcloud[3][7]
    assert "TPU_NAME=t TPU_LOAD_LIBRARY=0" in command
    assert "hardware/tpu --workdir=gs://b/r TPU=t" in command
    assert "--worker=0" in gcloud[3]


@pytest.mark.parametrize("state, n_new", [("PREEMPTED", 2), ("READY", 0)])
def test_a_preempted_tpu_is_made_anew(state, n_new, tmp_path, monkeypatch):
    """Twice preempted, or only interrupted; then the run is done."""
    script = load("cloud_tpu")
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(FAKE_GCLOUD, encoding="utf-8")
    gcloud.chmod(0o755)
    for name in ("LOG", "RUNS", "STATE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "STATE").write_text(state, encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(script.CloudTpu, "install", lambda self: 0)
    assert script.main(["all", *TPU, *TRAIN]) == 0
    words = [
        s.split()[3]
        for s in (tmp_path / "LOG").read_text(encoding="utf-8").splitlines()
    ]
    assert words.count("ssh") == 3
    assert words.count("create") == words.count("delete") == 1 + n_new
    assert words[-1] == "delete"


def test_tpu_runs_must_say_what(capsys):
    with pytest.raises(SystemExit):
        load("cloud_tpu").main(["run", *TPU])
    assert "what to train" in capsys.readouterr().err


@pytest.mark.parametrize(
    "script, code, requeued",
    [
        *(("slurm", code, code in (1, 130)) for code in (0, 1, 2, 75, 130)),
        *(("slurm_sweep", code, code in (1, 130)) for code in (0, 1, 2, 130)),
    ],
)
def test_slurm_jobs_go_on_unless_they_are_done(
    script, code, requeued, tmp_path
):
    for name in ("srun", "scontrol"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\necho {name} "$@" >> "$LOG"\n'
            f"[ {name} = scontrol ] || exit {code}\n"
        )
        program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "LOG": str(tmp_path / "log"),
        "SLURM_JOB_ID": "17",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_COUNT": "8",
    }
    run = subprocess.run(
        ["bash", str(SCRIPTS / f"{script}.sh"), "a/b", "--workdir=w"],
        env=environment,
    )
    assert run.returncode == code
    first, *rest = (tmp_path / "log").read_text().splitlines()
    assert rest == ["scontrol requeue 17"] * requeued
    command, words = first.split("rigl_tf ")
    assert command.startswith("srun ")
    if script == "slurm":
        assert words == "train a/b --workdir=w"
    else:
        assert words == "sweep a/b --workdir=w --shard=3/8"


FAKE_TRAIN = """
import os, sys, time
index = [w for w in sys.argv if w.startswith("--worker=")][0][-1]
log = os.environ["LOG"] + index
with open(log, "a") as stream:
    print("start", file=stream)
dying = len(open(log).readlines()) <= int(os.environ["DEATHS"])
if dying and index == "1":
    os.kill(os.getpid(), 9)
if dying:
    time.sleep(60)
sys.exit(int(os.environ["CODE"]))
"""


@pytest.mark.parametrize(
    "n_deaths, code, n_starts, expected",
    [(2, 0, 3, 0), (9, 0, 3, 137), (0, 2, 1, 2), (0, 130, 3, 130)],
)
def test_the_launcher_starts_all_again(
    n_deaths, code, n_starts, expected, tmp_path, monkeypatch
):
    """A worker that dies takes the others along; a mistake ends it."""
    script = load("launch_local")
    (tmp_path / "fake.py").write_text(FAKE_TRAIN, encoding="utf-8")
    for name, value in (("DEATHS", n_deaths), ("CODE", code)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setattr(script, "_PATIENCE", 0.5)
    fake = [sys.executable, str(tmp_path / "fake.py")]
    monkeypatch.setattr(script, "_COMMAND", fake)
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in signals]
    try:
        assert script.Launcher([], 2, n_restarts=2).run() == expected
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
    for index in "01":
        starts = (
            (tmp_path / f"log{index}").read_text(encoding="utf-8").splitlines()
        )
        assert len(starts) == n_starts


def test_the_needle_is_found_by_gradients_alone(tmp_path):
    command = [sys.executable, str(SCRIPTS / "needle.py"), "--n=256"]
    command += ["--interval=10", "--methods=rigl,set", f"--out={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "hidden among 65,536" in done.stdout
    rigl, other = json.loads((tmp_path / "needle.json").read_text())
    assert rigl["final_found"] > 0.9 and other["final_found"] < 0.3
    assert (tmp_path / "needle.png").read_bytes()[:4] == b"\x89PNG"


def test_the_benchmark_of_sparse_layers_prints_its_tables(benchmarks):
    bench = load(f"{benchmarks}/sparse")
    row = bench.layer_row(64, 0.1, 1)
    assert {"dense", "dense, XLA", "sparse", "SciPy"} <= row.keys()
    rows = [{"side": 64, "density": 0.1, **row, "ratio": 2.0}]
    found = {
        "layers": rows,
        "steps": {"dense": 2.0, "sparse": 1.0},
        "growth": bench.growth_row(1024, 0.01),
        "memory": {"sparse": 5.0},
        "machine": bench.machine(),
    }
    text = bench.report(found)
    assert "| 64² | 10 % |" in text and "| sparse | 1.0 | 1.0 | 5 |" in text


def test_hours_on_gpus_follow_from_dense_flops(monkeypatch, capsys):
    hours = load("gpu_hours")
    words = ["gpu_hours.py", "sweeps/mnist_mlp", "--utilization=0.5"]
    monkeypatch.setattr(sys, "argv", words)
    hours.main()
    multiplications = 784 * 300 + 300 * 100 + 100 * 10
    examples = 15 * 6000 * 100
    flops = f"{3 * 2 * multiplications * examples:.2g}"
    row = capsys.readouterr().out.splitlines()[2].split(" | ")
    assert row[0].endswith("sweeps/mnist_mlp") and row[1:3] == ["15", flops]


def test_the_benchmark_of_onednn_starts_both(benchmarks, monkeypatch, capsys):
    bench = load(f"{benchmarks}/one_dnn")
    monkeypatch.setattr(bench, "MODELS", ("digits_mlp",))
    monkeypatch.setattr(sys, "argv", ["one_dnn.py", "--rounds=1"])
    bench.main()
    name, *figures = capsys.readouterr().out.splitlines()[2].split(" | ")
    assert name.endswith("digits_mlp")
    assert all(float(figure.strip(" |")) > 0 for figure in figures)


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(),
    reason="peaks of memory are those of Linux",
)
def test_the_benchmark_of_memory_counts_copies(benchmarks, monkeypatch):
    bench = load(f"{benchmarks}/memory")
    weights, found = bench.peak("fixed masks", 8, bench._GIVE_BACK)
    assert weights == 1024 * 8 + 3 * 8 * 8 + 8 * 10 + 4 * 8 + 10
    assert found > 10**8
    peaks = {"dense": 2000, "fixed masks": 3000, "RigL": 6000}
    programs = {"dense": 10, "fixed masks": 20, "RigL": 30}

    def peak(name, width, _):
        by_weights = peaks[name] if width == 64 else 0
        return 250, programs[name] + by_weights

    monkeypatch.setattr(bench, "peak", peak)
    copies = [row[-1] for row in bench.bench(64, 1)]
    assert copies == ["+0.00", "+1.00", "+4.00"]


def test_the_benchmark_of_peers_names_what_does_not_start(
    benchmarks, tfds_dir, monkeypatch, capsys
):
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_dir)
    bench = load(f"{benchmarks}/peers")
    words = ["--only", "rigl_tf", "jaxpruner", "--works", "train"]
    words += ["--steps=60", "--seeds=1", "--python_of", "jaxpruner=no/python"]
    monkeypatch.setattr(sys, "argv", ["peers.py", *words])
    bench.main()
    ours, theirs = capsys.readouterr().out.splitlines()[2:4]
    assert "| ERK | 98.0 |" in ours
    assert "FileNotFoundError" in theirs
