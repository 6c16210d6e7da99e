"""Sweep files: choices, labels."""

import os
import sys

import pytest

from rigl_tf import cli
from rigl_tf import config
from rigl_tf import jobs
from rigl_tf import sweeps


def read(tmp_path, text):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    return sweeps.read(str(file))


def test_lines_are_runs(tmp_path):
    runs = read(tmp_path, "# three words\n\na b C=1\n  d e\n")
    assert [run.words for run in runs] == [("a", "b", "C=1"), ("d", "e")]


def test_choices_are_multiplied_out(tmp_path):
    runs = read(tmp_path, "a B={1,2} C={x,y} D=[1,2] E={SEED}\n")
    assert [" ".join(run.words) for run in runs] == [
        f"a B={b} C={c} D=[1,2] E={{SEED}}" for b in "12" for c in "xy"
    ]


def test_dictionaries_are_no_choices(tmp_path):
    (run,) = read(tmp_path, "a MAP={'x':1,'y':2}\n")
    assert run.words == ("a", "MAP={'x':1,'y':2}")
    runs = read(tmp_path, "a L2={0,1e-4}\n")
    assert [run.words[1] for run in runs] == ["L2=0", "L2=1e-4"]


def test_labels_stand_for_work_directories(tmp_path):
    runs = read(
        tmp_path,
        "run-{SEED}: tasks/a SEED={0,1}\n"
        "tasks/b INITIAL_RUN=@run-{SEED} SEED={0,1}\n",
    )
    resolved = sweeps.resolve(runs, "all")
    first = [str(workdir.resolve()) for words, workdir in resolved[:2]]
    assert [words for words, _ in resolved] == [
        ["tasks/a", "SEED=0"],
        ["tasks/a", "SEED=1"],
        ["tasks/b", f"INITIAL_RUN={first[0]!r}", "SEED=0"],
        ["tasks/b", f"INITIAL_RUN={first[1]!r}", "SEED=1"],
    ]
    assert len({workdir for _, workdir in resolved}) == 4
    # The name of a run does not depend on where the sweep is.
    moved = sweeps.resolve(runs, "elsewhere")
    assert [w.name for _, w in moved] == [w.name for _, w in resolved]


def test_references_of_gin_are_left_alone(tmp_path):
    (run,) = read(tmp_path, "a x.Y.model=@net MINE=@net\n")
    assert run.words == ("a", "x.Y.model=@net", "MINE=@net")
    ((words, _),) = sweeps.resolve([run], "runs")
    assert words == list(run.words)


@pytest.mark.parametrize(
    "text, message",
    [
        ("# nothing\n", "at least one run"),
        ("a INITIAL_RUN=@later\nlater: b\n", "names no earlier line"),
        ("same: a\nsame: b\n", "twice"),
    ],
)
def test_bad_sweeps_are_refused(text, message, tmp_path):
    with pytest.raises(config.ConfigError, match=message):
        read(tmp_path, text)


def test_an_unknown_sweep_is_refused():
    with pytest.raises(config.ConfigError, match="did you mean sweeps/mnist"):
        sweeps.read("sweeps/mnist_ml")


@pytest.mark.parametrize(
    "name",
    [f"sweeps/{p.stem}" for p in config.directory().glob("sweeps/*.txt")],
)
def test_shipped_sweeps_are_commands(name):
    for words, _ in sweeps.resolve(sweeps.read(name), "runs"):
        config.read(words)


FAKE = """
import os, sys, time
workdir = [w for w in sys.argv if w.startswith("--workdir=")][0][10:]
needs = [w.split("=")[1].strip("'") for w in sys.argv if "INITIAL_RUN=" in w]
log = os.environ["LOG"]
missing = [n for n in needs if not os.path.exists(n + "/done")]
with open(log, "a") as stream:
    print("start", os.path.basename(workdir), len(missing), file=stream)
    print(os.environ["TF_NUM_INTRAOP_THREADS"], file=sys.stderr)
if "FAIL=True" in sys.argv:
    sys.exit(2)
os.makedirs(workdir)
open(workdir + "/done", "w").close()
"""


def run_fakes(runs, tmp_path, monkeypatch, n_jobs=2):
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    fake = (sys.executable, str(tmp_path / "fake.py"))
    monkeypatch.setattr(jobs, "_COMMAND", fake)
    code = jobs.run_all(runs, n_jobs)
    return code, (tmp_path / "log").read_text().splitlines()


def test_runs_at_a_time_wait_for_what_they_need(tmp_path, monkeypatch):
    a, b, c = (tmp_path / name for name in "abc")
    needs = [f"INITIAL_RUN='{a.resolve()}'"]
    runs = [(needs, c), ([], a), ([], b)]
    code, log = run_fakes(runs, tmp_path, monkeypatch)
    assert code == 0
    assert sorted(log) == ["start a 0", "start b 0", "start c 0"]
    assert log[-1] == "start c 0"


@pytest.mark.parametrize(
    "own, n_jobs, expected", [(None, 3, "2"), (None, 9, "1"), ("5", 3, "5")]
)
def test_runs_at_a_time_share_the_cores(
    own, n_jobs, expected, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    if own:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", own)
    run_fakes([([], tmp_path / "run")], tmp_path, monkeypatch, n_jobs)
    assert capfd.readouterr().err.split() == [expected]


def test_what_needs_a_failed_run_is_left_out(tmp_path, monkeypatch):
    a, b, c = (tmp_path / name for name in "abc")
    runs = [(["FAIL=True"], a), ([f"INITIAL_RUN='{a.resolve()}'"], b), ([], c)]
    code, log = run_fakes(runs, tmp_path, monkeypatch)
    assert code == 2
    assert sorted(log) == ["start a 0", "start c 0"]


def test_real_runs_at_a_time(tmp_path):
    file = tmp_path / "two.txt"
    short = "TRAIN_STEPS=4 UPDATE_END_STEP=2 UPDATE_INTERVAL=1"
    file.write_text(
        f"first: tasks/digits_mlp methods/rigl SPARSITY=0.9 {short}\n"
        f"tasks/digits_mlp methods/lottery {short} "
        "INITIAL_RUN=@first INITIAL_MASKS=@first\n"
    )
    words = ["sweep", str(file), f"--workdir={tmp_path / 'runs'}", "--jobs=2"]
    assert cli.main(words) == 0
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 2
    assert cli.main([*words, "--jobs=0"]) == 2
