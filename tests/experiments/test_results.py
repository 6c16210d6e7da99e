"""Which runs share a row of a report, and what tells rows apart."""

import csv
import dataclasses
import io
import json

import pytest

from rigl_tf import cli
from rigl_tf.experiments import config
from rigl_tf.experiments import report_formats
from rigl_tf.experiments import report_lines
from rigl_tf.experiments import report_row
from rigl_tf.experiments import results
from rigl_tf.experiments import run_settings
from rigl_tf.experiments import runs
from rigl_tf.experiments import sweep_file
from rigl_tf.experiments import work_directory

RIGL = ("tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9")
SHORT = "TRAIN_STEPS=4 UPDATE_END_STEP=2 UPDATE_INTERVAL=1"
PRUNE = (
    "tasks/digits_mlp methods/pruning SPARSITY=0.9 TRAIN_STEPS=4 "
    "PRUNE_BEGIN_STEP=1 PRUNE_INTERVAL=1 PRUNE_END_STEP={2,3} SEED={0,1}"
)


def settings(*words):
    job = config.parse(config.read(words))()
    runs.Run(job)
    return config.settings()


@pytest.fixture(scope="module")
def plain():
    return settings(*RIGL)


@pytest.mark.parametrize(
    "word",
    [
        "SEED=7",
        "L2=0",
        "TRAINING_MULTIPLIER=1.0",
        "updaters.RigL.drop_noise=0.0",
        "keras.optimizers.SGD.weight_decay=None",
        "models.mlp.hidden=(300,100)",
        "hardware/cpu SYNC_BATCH_NORM=False",
        "JIT_COMPILE=True",
        "LOG_INTERVAL=3",
        "CHECKPOINT_INTERVAL=5",
        "KEEP_CHECKPOINTS=9",
        "EVALUATE_INTERVAL=10",
        "RECORD_MASKS=True",
        "PREDICTIONS=True",
        "PRUNE_INTERVAL=7",  # no setting of RigL
        "LABEL=mine",
    ],
)
def test_what_cannot_change_a_result_is_no_setting(word, plain):
    assert settings(*RIGL, *word.split()) == plain


@pytest.mark.parametrize(
    "word, name, value",
    [
        ("UPDATE_INTERVAL=5", "UPDATE_INTERVAL", 5),
        ("DROP_FRACTION=0.5", "DROP_FRACTION", 0.5),
        ("LEARNING_RATE=0.05", "LEARNING_RATE", 0.05),
        ("SPARSE_INIT=unit_scaled", "SPARSE_INIT", "unit_scaled"),
        ("WIDTH=0.5", "WIDTH", 0.5),
        ("PRECISION=float64", "PRECISION", "float64"),
        ("DENSE_LAYERS=['fc3/kernel']", "DENSE_LAYERS", ["fc3/kernel"]),
        ("updaters.RigL.drop_noise=1e-5", "updaters.RigL.drop_noise", 1e-5),
        ("updaters.RigL.seed=3", "updaters.RigL.seed", 3),
        ("models.mlp.hidden=(30,10)", "models.mlp.hidden", [30, 10]),
        (
            "experiment.Experiment.optimizer=@keras.optimizers.Adam",
            "experiment.Experiment.optimizer",
            "@keras.optimizers.Adam",
        ),
    ],
)
def test_what_can_change_a_result_is_a_setting(word, name, value, plain):
    found = settings(*RIGL, word)
    assert found[name] == value
    assert plain.get(name) != value
    assert json.loads(json.dumps(found)) == found


def test_values_are_those_of_json():
    parameters = {
        "a.b": run_settings.Macro("X"),
        "a.c": [run_settings.Macro("X"), (2.0, True)],
        "a.d": {1: run_settings.Macro("gin.REQUIRED")},
        "a.e": run_settings.Macro("gin.REQUIRED"),
        "a.f": 1j,
        "a.seed": run_settings.Macro("SEED"),
    }
    macros = {"X": run_settings.Macro("Y"), "Y": 0.5, "SEED": 3, "UNUSED": 1}
    assert run_settings.collect(parameters, macros) == {
        "X": 0.5,
        "a.c": [0.5, [2, True]],
        "a.d": {"1": "%gin.REQUIRED"},
        "a.e": "%gin.REQUIRED",
        "a.f": "1j",
    }


def sweep(tmp_path, *lines, name="sweep"):
    file = tmp_path / f"{name}.txt"
    file.write_text("\n".join(lines))
    assert cli.main(["sweep", str(file), f"--workdir={tmp_path / 'runs'}"]) == 0
    return tmp_path / "runs"


@pytest.mark.slow
def test_runs_that_differ_in_a_setting_are_not_seeds(tmp_path, capsys):
    line = f"{' '.join(RIGL)} {SHORT} UPDATE_INTERVAL={{1,2}} SEED={{0,1}}"
    runs = sweep(tmp_path, line)
    rows = results.rows(runs)
    assert [row.n for row in rows] == [2, 2]
    capsys.readouterr()
    assert cli.main(["report", str(runs)]) == 0
    table, *_ = capsys.readouterr().out.split("\n\n")  # the noise is below
    header, _, *lines = table.splitlines()
    assert "| sparsity | UPDATE_INTERVAL | test accuracy" in header
    assert sorted(line.split(" | ")[4] for line in lines) == ["1", "2"]
    assert cli.main(["report", str(runs), "--format=csv"]) == 0
    found = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert sorted(row["UPDATE_INTERVAL"] for row in found) == ["1", "2"]
    assert cli.main(["report", str(runs), "--format=html"]) == 0
    assert "<th>UPDATE_INTERVAL</th>" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_that_begin_with_seeds_are_seeds(tmp_path):
    runs = sweep(
        tmp_path,
        "pruned-{PRUNE_END_STEP}-{SEED}: " + PRUNE,
        f"tasks/digits_mlp methods/scratch {SHORT} SEED={{4,5}} "
        "INITIAL_MASKS=@pruned-2-0",
        f"tasks/digits_mlp methods/scratch {SHORT} SEED=6 "
        "INITIAL_MASKS=@pruned-2-1",
        f"tasks/digits_mlp methods/scratch {SHORT} SEED=7 "
        "INITIAL_MASKS=@pruned-3-0",
    )
    rows = results.rows(runs)
    found = [row for row in rows if row.method == "scratch"]
    assert sorted(row.n for row in found) == [1, 3]
    assert run_settings.differing(found) == ["INITIAL_MASKS"]
    assert run_settings.text(found[0], "INITIAL_MASKS").startswith("pruning-")
    # The other rows say by themselves in what they differ.
    pruned = [row for row in rows if row.method == "pruning"]
    assert run_settings.differing(pruned) == ["PRUNE_END_STEP"]


def write(directory, name, **fields):
    result = {
        "task": "t",
        "method": "m",
        "distribution": "uniform",
        "sparsity": 0.5,
        "accuracy": 0.5,
        "train_flops_ratio_run": 0.1,
        **fields,
    }
    (directory / name).mkdir()
    (directory / name / "result.json").write_text(json.dumps(result))


def test_runs_without_settings_are_not_merged(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b", settings=None)
    write(tmp_path, "c", settings={})
    write(tmp_path, "d", settings={})
    rows = results.rows(tmp_path)
    assert [row.n for row in rows] == [1, 1, 2]
    assert str(tmp_path / "a") in report_formats.markdown(rows)


def row(method="rigl", **given):
    fields = {
        "task": "t",
        "method": method,
        "distribution": "uniform",
        "sparsity": 0.5,
        "pattern": "unstructured",
        "training_multiplier": 1,
    }
    own = {name: given.pop(name) for name in fields if name in given}
    name = f"updaters.{method}"
    found = {"experiment.Experiment.updater": f"@{name}()", **given}
    if "noise" in found:
        found[f"{name}.noise"] = found.pop("noise")
    return report_row.Row(**{**fields, **own}, settings=found, n=1)


@pytest.mark.parametrize(
    "rows, expected",
    [
        ([row(L2=0), row(L2=0)], []),
        ([row(L2=0), row(L2=1)], ["L2"]),
        ([row(L2=0), row(L2=1, task="u")], []),
        # Of two methods: only what is no setting of the method, and both have.
        ([row(L2=0), row("set", L2=1)], ["L2"]),
        ([row(L2=0), row("set")], []),
        ([row(WIDTH=1), row("small_dense", WIDTH="small_dense")], []),
        ([row(noise=0), row("set", noise=1)], []),
        # Of one method: all, be it that one run lacks it.
        ([row(WIDTH=1), row(WIDTH=2)], ["WIDTH"]),
        ([row(noise=0), row(noise=1)], ["updaters.rigl.noise"]),
        ([row(L2=0), row()], ["L2"]),
        # A column of its own shows it, or does not.
        ([row(SPARSITY=0.5), row(SPARSITY=0.9, sparsity=0.9)], []),
        ([row(SPARSITY=0.5), row(SPARSITY=None)], ["SPARSITY"]),
        # Not run.
        ([row(L2=0), dataclasses.replace(row(L2=1), settings={})], []),
    ],
)
def test_settings_in_which_rows_differ_are_shown(rows, expected):
    assert run_settings.differing(rows) == expected


def test_methods_at_their_defaults_differ_in_no_setting(tmp_path):
    (tmp_path / "config.gin").write_text("")
    rows = []
    for name in config.shipped("methods"):
        words = ["tasks/digits_mlp", name]
        words += [] if name == "methods/dense" else ["SPARSITY=0.9"]
        if name == "methods/lottery":
            words.append(f"INITIAL_RUN={tmp_path}")
        job = config.parse(config.read(words))()
        fields = {
            "task": "digits_mlp",
            "method": job.method,
            "distribution": "erdos_renyi_kernel",
            "sparsity": job.sparsity,
            "pattern": str(job.pattern),
            "training_multiplier": 1,
        }
        settings = config.settings()
        rows.append(report_row.Row(**fields, settings=settings, n=1))
    assert len(rows) > 25
    assert run_settings.differing(rows) == []


def test_lines_of_the_plot_do_not_mix_settings():
    rows = [
        row(UPDATE_INTERVAL=5),
        row(UPDATE_INTERVAL=5, sparsity=0.9, SPARSITY=0.9),
        row(UPDATE_INTERVAL=20),
        row("set", UPDATE_INTERVAL=20),
        row("dense", distribution="uniform"),
    ]
    lines = report_lines.lines(rows)
    assert {name: len(members) for name, members in lines.items()} == {
        "rigl, UPDATE_INTERVAL=5": 2,
        "rigl, UPDATE_INTERVAL=20": 1,
        "set": 1,
        "dense": 1,
    }


def test_bars_do_not_cut_the_table(tmp_path):
    for index, layers in enumerate(["a|b", "c"]):
        found = {"DENSE_LAYERS": [layers]}
        write(tmp_path, str(index), settings=found)
    table = report_formats.markdown(results.rows(tmp_path))
    assert r"| ['a\|b'] |" in table


def test_patterns_are_no_formulas(tmp_path, capsys):
    for index, layers in enumerate([r"a\d$|b\w{$", "c"]):
        found = {"DENSE_LAYERS": [layers]}
        write(tmp_path, str(index), settings=found)
    assert cli.main(["report", str(tmp_path), "--format=html"]) == 0
    assert "data:image/png;base64," in capsys.readouterr().out


def test_each_run_of_a_published_row_is_shown(tmp_path, capsys):
    for index in range(2):
        write(
            tmp_path,
            str(index),
            published="cifar10/rigl_erk_90",
            settings={"UPDATE_INTERVAL": index},
        )
    words = ["report", str(tmp_path), "--published=cifar10"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.count("50.00 | 1 |") == 2


@pytest.mark.slow
def test_later_sweeps_find_a_run_by_its_label(tmp_path):
    runs = sweep(tmp_path, f"first: {' '.join(RIGL)} {SHORT}")
    (workdir,) = runs.iterdir()
    result = json.loads((workdir / "result.json").read_text())
    assert result["label"] == "first"
    sweep(
        tmp_path,
        f"tasks/digits_mlp methods/rigl SPARSITY=None {SHORT} "
        "INITIAL_RUN=@first",
        name="second",
    )
    begun = [json.loads(f.read_text()) for f in runs.glob("*/result.json")]
    starts = [result["start"].get("run") for result in begun]
    assert str(workdir.resolve()) in starts
    # Another label is no other run.
    sweep(tmp_path, f"other: {' '.join(RIGL)} {SHORT}")
    assert len(list(runs.iterdir())) == 2


@pytest.mark.parametrize(
    "label, message",
    [
        ("none", "no finished run below.*labels are: mine, once, twice"),
        ("twice", "must name one run.*/b, .*/c"),
        ("later", "no earlier line.*labels are: mine, once, twice"),
    ],
)
def test_labels_of_no_one_run_are_refused(label, message, tmp_path):
    for name, given in {"a": "once", "b": "twice", "c": "twice"}.items():
        write(tmp_path, name, label=given, settings={})
    write(tmp_path, "d", label="later", settings={})
    file = tmp_path / "sweep.txt"
    file.write_text(
        f"mine: a\ntasks/b INITIAL_RUN=@{label}\nlater: c INITIAL_RUN=@once"
    )
    with pytest.raises(config.ConfigError, match=message):
        sweep_file.resolve(sweep_file.read(str(file)), tmp_path)


def test_a_run_may_get_another_label(tmp_path):
    work_directory.require_own(tmp_path / "new", "L2 = 0\nLABEL = 'a'")
    with work_directory.claim(tmp_path / "run", "L2 = 0\nLABEL = 'a'"):
        pass
    work_directory.require_own(tmp_path / "run", "L2 = 0\nLABEL = 'b'")


def test_labels_must_be_strings(capsys):
    assert cli.main(["count", *RIGL, "LABEL=5"]) == 2
    assert "label=5" in capsys.readouterr().err
