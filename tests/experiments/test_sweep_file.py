"""Sweep files: choices, labels."""

import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
import types
import weakref

import pytest

from rigl_tf import cli
from rigl_tf.experiments import config
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import parallel_runs
from rigl_tf.experiments import runs
from rigl_tf.experiments import session
from rigl_tf.experiments import sweep_file


def read(tmp_path, text):
    file = tmp_path / "mine.txt"
    file.write_text(text, encoding="utf-8")
    return sweep_file.read(str(file))


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
    resolved = sweep_file.resolve(runs, "all")
    first = [str(workdir.resolve()) for words, workdir in resolved[:2]]
    assert [words for words, _ in resolved] == [
        ["tasks/a", "SEED=0", "LABEL='run-0'"],
        ["tasks/a", "SEED=1", "LABEL='run-1'"],
        ["tasks/b", f"INITIAL_RUN={first[0]!r}", "SEED=0"],
        ["tasks/b", f"INITIAL_RUN={first[1]!r}", "SEED=1"],
    ]
    assert len({workdir for _, workdir in resolved}) == 4
    # The name of a run does not depend on where the sweep is.
    moved = sweep_file.resolve(runs, "elsewhere")
    assert [w.name for _, w in moved] == [w.name for _, w in resolved]


def test_references_of_gin_are_left_alone(tmp_path):
    (run,) = read(tmp_path, "a x.Y.model=@net MINE=@net\n")
    assert run.words == ("a", "x.Y.model=@net", "MINE=@net")
    ((words, _),) = sweep_file.resolve([run], "runs")
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
        sweep_file.resolve(read(tmp_path, text), tmp_path)


def test_an_unknown_sweep_is_refused():
    with pytest.raises(config.ConfigError, match="did you mean sweeps/mnist"):
        sweep_file.read("sweeps/mnist_ml")


@pytest.mark.parametrize(
    "name",
    [f"sweeps/{p.stem}" for p in config.directory().glob("sweeps/*.txt")],
)
def test_shipped_sweeps_are_commands(name):
    for words, _ in sweep_file.resolve(sweep_file.read(name), "runs"):
        config.read(words)


FAKE = """
import ast, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
workdir = [w for w in sys.argv if w.startswith("--workdir=")][0][10:]
needs = [ast.literal_eval(w[12:]) for w in sys.argv if "INITIAL_RUN=" in w]
log = os.environ["LOG"]
missing = [n for n in needs if not os.path.exists(n + "/done")]
with open(log, "a") as stream:
    print("start", os.path.basename(workdir), len(missing), file=stream)
    print(os.environ["TF_NUM_INTRAOP_THREADS"], file=sys.stderr)
if "FAIL=True" in sys.argv:
    sys.exit(2)
if "HELD=True" in sys.argv:
    sys.exit(75)
if "KILL=True" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
if "STOP=True" in sys.argv:  # as if somebody wanted the sweep to stop
    os.kill(os.getppid(), signal.SIGTERM)
if "STOP=True" in sys.argv or "WAIT=True" in sys.argv:
    signal.sigwait([signal.SIGTERM])
    with open(log, "a") as stream:
        print("told", os.path.basename(workdir), file=stream)
    sys.exit(0 if "SAVE=False" in sys.argv else 130)
os.makedirs(workdir)
open(workdir + "/done", "w").close()
"""


def run_fakes(runs, tmp_path, monkeypatch, n_jobs=2):
    (tmp_path / "fake.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    fake = (sys.executable, str(tmp_path / "fake.py"))
    monkeypatch.setattr(parallel_runs, "_COMMAND", fake)
    code = parallel_runs.run_all(runs, n_jobs)
    return code, (tmp_path / "log").read_text(encoding="utf-8").splitlines()


def test_runs_at_a_time_wait_for_what_they_need(tmp_path, monkeypatch):
    a, b, c = (tmp_path / "it's" / name for name in "abc")
    needs = [f"INITIAL_RUN={str(a.resolve())!r}"]
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


def test_runs_of_other_processes_are_left_to_them(
    tmp_path, monkeypatch, capsys
):
    a, b, c = (tmp_path / name for name in "abc")
    runs = [(["HELD=True"], a), ([f"INITIAL_RUN='{a.resolve()}'"], b), ([], c)]
    code, log = run_fakes(runs, tmp_path, monkeypatch, n_jobs=1)
    assert code == 0
    assert log == ["start a 0", "start c 0", "start a 0"]
    told = capsys.readouterr().out
    assert told.count("[1/3] skipped for now") == 2
    assert "[1/3] left out: another process is training it" in told
    assert "[2/3] left out: it needs a run that is not finished" in told


def test_each_process_has_its_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    seen = []

    def popen(*arguments, env, **options):
        seen.append(env["CUDA_VISIBLE_DEVICES"])
        return subprocess.Popen(*arguments, env=env, **options)

    monkeypatch.setattr(
        parallel_runs,
        "subprocess",
        types.SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL),
    )
    runs = [([], tmp_path / name) for name in "abcd"]
    run_fakes(runs, tmp_path, monkeypatch)
    assert sorted(seen[:2]) == ["3", "5"] and len(seen) == 4


def test_killed_runs_are_failures(tmp_path, monkeypatch):
    runs = [(["KILL=True"], tmp_path / "a")]
    assert run_fakes(runs, tmp_path, monkeypatch)[0] == 1


@pytest.mark.parametrize(
    "words, others, code",
    [
        (["STOP=True"], [], 130),
        (["STOP=True"], [[]], 130),
        (["STOP=True", "SAVE=False"], [[]], 130),  # it had trained already
        (["STOP=True", "SAVE=False"], [], 0),
    ],
)
def test_a_stopped_sweep_tells_its_runs(
    words, others, code, tmp_path, monkeypatch, capsys
):
    runs = [(words, tmp_path / "a"), *((w, tmp_path / "b") for w in others)]
    found, log = run_fakes(runs, tmp_path, monkeypatch, n_jobs=1)
    assert found == code
    assert log == ["start a 0", "told a"]
    assert "[2/2]" not in capsys.readouterr().out


def test_an_error_leaves_no_runs_behind(tmp_path, monkeypatch):
    def fail(_):
        raise BrokenPipeError

    monkeypatch.setattr(parallel_runs.time, "sleep", fail)
    started = []

    def popen(*arguments, **options):
        started.append(subprocess.Popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(
        parallel_runs,
        "subprocess",
        types.SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL),
    )
    with pytest.raises(BrokenPipeError):
        run_fakes([(["WAIT=True"], tmp_path / "a")], tmp_path, monkeypatch)
    (process,) = started
    assert process.returncode is not None


def test_a_stopped_sweep_starts_no_more_runs(monkeypatch, tmp_path, capsys):
    file = tmp_path / "two.txt"
    file.write_text(
        "tasks/digits_mlp methods/static SPARSITY=0.9 SEED={0,1}",
        encoding="utf-8",
    )
    trained = []

    def train(settings, workdir):
        del settings
        trained.append(workdir)
        return True  # a request to stop came while it was evaluated

    monkeypatch.setattr(session, "run", train)
    words = ["sweep", str(file), f"--workdir={tmp_path / 'runs'}"]
    assert cli.main(words) == 130
    assert len(trained) == 1
    assert "run the same command again" in capsys.readouterr().err


def test_a_run_leaves_nothing_in_memory(monkeypatch, tmp_path):
    class Graph:
        def __init__(self):
            self.itself = self

    file = tmp_path / "two.txt"
    file.write_text(
        "tasks/digits_mlp methods/static SPARSITY=0.9 SEED={0,1}",
        encoding="utf-8",
    )
    alive = []

    def train(settings, workdir):
        del settings, workdir
        assert all(graph() is None for graph in alive)
        alive.append(weakref.ref(Graph()))
        return False

    monkeypatch.setattr(session, "run", train)
    gc.disable()
    try:
        words = ["sweep", str(file), f"--workdir={tmp_path / 'runs'}"]
        assert cli.main(words) == 0
    finally:
        gc.enable()
    assert len(alive) == 2


SHORT = "TRAIN_STEPS=4 UPDATE_END_STEP=2 UPDATE_INTERVAL=1"


@pytest.mark.slow
def test_processes_share_a_directory_of_runs(tmp_path, capsys):
    file = tmp_path / "three.txt"
    file.write_text(
        f"first: tasks/digits_mlp methods/rigl SPARSITY=0.9 {SHORT}\n"
        f"tasks/digits_mlp methods/static SPARSITY=0.9 {SHORT}\n"
        f"tasks/digits_mlp methods/rigl SPARSITY=None {SHORT} "
        "INITIAL_RUN=@first\n"
    )
    words = ["sweep", str(file), f"--workdir={tmp_path / 'runs'}"]
    runs = sweep_file.resolve(sweep_file.read(str(file)), tmp_path / "runs")
    held, done, blocked = (workdir for _, workdir in runs)
    held.mkdir(parents=True)
    with open(held / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cli.main(words) == 0
        assert list(held.iterdir()) == [held / ".lock"]
    assert (done / "result.json").exists() and not blocked.exists()
    told = capsys.readouterr().out
    assert told.count("[1/3] skipped for now") == 2
    assert "[1/3] left out: another process is training it" in told
    assert "[3/3] left out: it needs a run that is not finished" in told
    assert cli.main([*words, "--shard=1/2"]) == 0
    assert "[1/1] tasks/digits_mlp methods/static" in capsys.readouterr().out
    assert cli.main([*words, "--shard=0/2"]) == 0
    assert (held / "result.json").exists()
    assert (blocked / "result.json").exists()
    assert cli.main([*words, "--shard=2/2"]) == 2


def test_a_run_that_another_process_finished_meanwhile_is_kept(
    tmp_path, monkeypatch, capsys
):
    words = ["train", "tasks/digits_mlp", "methods/static", "SPARSITY=0.9"]
    words += SHORT.split()
    assert cli.main([*words, f"--workdir={tmp_path / 'theirs'}"]) == 0
    build = runs.Run.__init__

    def slow(run, experiment):
        shutil.copytree(tmp_path / "theirs", tmp_path / "ours")
        build(run, experiment)

    monkeypatch.setattr(runs.Run, "__init__", slow)
    capsys.readouterr()
    assert cli.main([*words, f"--workdir={tmp_path / 'ours'}"]) == 0
    assert "finished: nothing to do" in capsys.readouterr().out
    theirs, ours = (tmp_path / name for name in ("theirs", "ours"))
    text = (theirs / "result.json").read_text()
    assert (ours / "result.json").read_text() == text


def test_a_second_sigterm_says_what_the_first_said():
    with exit_codes.stop_requests() as should_stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_equal_runs_are_refused(tmp_path, capsys):
    file = tmp_path / "twice.txt"
    file.write_text(
        "tasks/digits_mlp methods/static SEED={0,0}", encoding="utf-8"
    )
    assert cli.main(["sweep", str(file), f"--workdir={tmp_path}"]) == 2
    assert "must differ" in capsys.readouterr().err
