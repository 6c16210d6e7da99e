"""Intervals, comparisons and pictures of a report, on results written here."""

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from rigl_tf import cli
from rigl_tf.experiments import report_statistics
from rigl_tf.experiments import results

RIGL = {0: 0.96, 1: 0.97, 2: 0.965}
STATIC = {0: 0.94, 1: 0.955, 2: 0.95}
SET = {5: 0.961, 6: 0.969, 7: 0.966}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the results of some seeds."""

    def write_all(method, accuracies, **fields):
        common = {
            "task": "digits_mlp",
            "method": method,
            "distribution": "erdos_renyi_kernel",
            "sparsity": 0.9,
            "training_multiplier": 1,
            "test_examples": 400,
            "inference_flops_ratio": 0.1,
            "train_flops_ratio_run": 0.12,
        }
        fields = common | fields
        settings = {
            "experiment.Experiment.updater": f"@{method}()",
            **fields.pop("settings", {}),
        }
        for seed, accuracy in accuracies.items():
            own = {"seed": seed, "accuracy": accuracy, "settings": settings}
            name = f"{method}-{seed}-{len(list(tmp_path.iterdir()))}"
            (tmp_path / name).mkdir()
            text = json.dumps(fields | own)
            (tmp_path / name / "result.json").write_text(text, "utf-8")
        return tmp_path

    return write_all


def report(directory, *words):
    return cli.main(["report", str(directory), *words])


def cells(output):
    """Return the cells of each row by method, and the header."""
    lines = [line for line in output.splitlines() if line.startswith("| ")]
    header, _, *rows = [line.strip("| ").split(" | ") for line in lines]
    return {row[1]: dict(zip(header, row)) for row in rows}


def test_intervals_are_students(write, capsys):
    write("rigl", RIGL)
    directory = write("static", {0: 0.9})
    assert report(directory, "--ci") == 0
    found = cells(capsys.readouterr().out)
    values = 100 * np.array(list(RIGL.values()))
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert found["rigl"]["95 % interval"] == f"{low:.2f} to {high:.2f}"
    assert found["static"]["95 % interval"] == "–"


def test_the_noise_of_the_test_set_is_stated(write, capsys):
    assert report(write("rigl", RIGL)) == 0
    error = 100 * np.sqrt(0.965 * 0.035 / 400)
    text = "digits_mlp: 400 test examples; at 96.50 % their choice alone gives"
    output = capsys.readouterr().out
    assert text in output
    assert f"a standard error of {error:.2f} points." in output


def test_methods_that_do_not_differ_are_one_group(write, capsys):
    write("rigl", RIGL)
    write("set", SET)
    directory = write("static", {0: 0.90, 1: 0.901, 2: 0.902})
    write("dense", {0: 0.99}, sparsity=0.0)
    assert report(directory, "--ci") == 0
    found = cells(capsys.readouterr().out)
    groups = {method: row["group"] for method, row in found.items()}
    assert groups == {"set": "A", "rigl": "A", "static": "B", "dense": "–"}


def test_differences_to_a_method(write, capsys):
    write("rigl", RIGL)
    write("set", SET)
    directory = write("static", STATIC)
    write("rigl", RIGL, sparsity=0.5)  # without a partner
    assert report(directory, "--against=static", "--format=csv") == 0
    table = csv.DictReader(io.StringIO(capsys.readouterr().out))
    found = {(row["method"], row["sparsity"]): row for row in table}
    p_rigl, p_set = (
        stats.ttest_ind(
            list(values.values()), list(STATIC.values()), equal_var=False
        ).pvalue
        for values in (RIGL, SET)
    )
    assert p_set < p_rigl  # so Holm doubles that of SET
    rigl = found["rigl", "0.9"]
    assert rigl["p (Holm)"] == f"{max(p_rigl, 2 * p_set):.2g}"
    assert found["set", "0.9"]["p (Holm)"] == f"{2 * p_set:.2g}"
    assert rigl["minus static"].startswith("+1.67 [")
    assert found["rigl", "0.5"]["minus static"] == "–"
    assert found["static", "0.9"]["minus static"] == "–"


def test_shared_seeds_are_compared_in_pairs(write, capsys):
    write("rigl", RIGL)
    write("set", SET)
    directory = write("static", STATIC)
    assert report(directory, "--against=static") == 0
    found = cells(capsys.readouterr().out)
    differences = 100 * (np.array(list(RIGL.values())) - list(STATIC.values()))
    half = stats.t.ppf(0.975, 2) * stats.sem(differences)
    low, high = differences.mean() - half, differences.mean() + half
    wanted = f"3: {differences.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
    assert found["rigl"]["seeds in pairs"] == wanted
    assert found["set"]["seeds in pairs"] == "0"


def test_partners_have_equal_settings_where_there_are_several(write, capsys):
    for interval, shift in ((10, 0.0), (20, 0.02)):
        settings = {"settings": {"INTERVAL": interval}}
        for method, values in (("static", STATIC), ("rigl", RIGL)):
            moved = {seed: v - shift for seed, v in values.items()}
            directory = write(method, moved, **settings)
    assert report(directory, "--against=static") == 0
    output = capsys.readouterr().out
    assert output.count("+1.67 [") == 4  # Welch's and in pairs, twice


@pytest.mark.parametrize(
    "fields",
    [
        {"distribution": "uniform"},
        {"pattern": "2:4"},
        {"training_multiplier": 5},
        {"settings": {"LEARNING_RATE": 0.1}},
    ],
)
def test_rows_that_differ_in_more_than_the_method_are_no_partners(
    fields, write, capsys
):
    common = {"settings": {"LEARNING_RATE": 0.05}}
    write("static", STATIC, **common)
    directory = write("rigl", RIGL, **common | fields)
    assert report(directory, "--against=static") == 2
    assert "none beside 'static'" in capsys.readouterr().err


def test_tickets_and_dense_rows_have_partners(write, capsys):
    write("rigl", RIGL)
    write("dense", {0: 0.98, 1: 0.981}, sparsity=0.0)
    directory = write("lottery", SET, distribution="initial_masks")
    write("set", SET, distribution="uniform", pattern="2:4")
    for method, partners in (
        ("rigl", {"lottery"}),
        ("dense", {"rigl", "lottery", "set"}),
    ):
        assert report(directory, f"--against={method}") == 0
        rows = cells(capsys.readouterr().out)
        found = {m for m, r in rows.items() if r[f"minus {method}"] != "–"}
        assert found == partners


def test_texts_are_judged_by_their_bits(write, capsys):
    """Fewer bits are better, even where the accuracy says otherwise."""
    bits = {"rigl": [3.60, 3.61, 3.62], "snfs": [3.50, 3.51, 3.53]}
    for method, values in bits.items():
        for seed, value in enumerate(values):
            directory = write(
                method,
                {seed: 0.3 if method == "rigl" else 0.2},
                bits_per_character=value,
            )
    assert report(directory, "--ci", "--against=rigl") == 0
    found = cells(capsys.readouterr().out)
    assert (found["snfs"]["group"], found["rigl"]["group"]) == ("A", "B")
    low, high = stats.t.interval(0.95, 2, 3.61, stats.sem(bits["rigl"]))
    assert found["rigl"]["95 % interval"] == f"{low:.4f} to {high:.4f}"
    difference = np.mean(bits["snfs"]) - 3.61
    assert found["snfs"]["minus rigl"].startswith(f"{difference:+.4f} [")
    assert found["snfs"]["seeds in pairs"].startswith(f"3: {difference:+.4f}")
    assert found["snfs"]["runs of both"] == "3, 3"


def test_letters_do_not_begin_anew():
    letters = list(map(report_statistics._letter, range(60)))
    assert letters[:2] == ["A", "B"] and letters[26] == "A2"
    assert len(set(letters)) == 60


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.7465, "yes: +0.05"), (0.74, "no: -0.60")]
)
def test_published_accuracies_are_compared_with_their_spread(
    accuracy, verdict, write, capsys
):
    """RigL at 80 %: 74.6 +- 0.06 of three runs."""
    seeds = {n: accuracy + 0.001 * (n - 1) for n in range(3)}
    published = "resnet50/rigl_uniform_80"
    directory = write("rigl", seeds, published=published)
    assert results.rows(directory)[0].published_n == 3
    assert report(directory, "--ci") == 0
    found = cells(capsys.readouterr().out)
    bound = 2 * np.sqrt(0.1**2 / 3 + 0.06**2 / 3)
    assert found["rigl"]["as published"] == f"{verdict} ± {bound:.2f}"


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.931, "yes: +0.20"), (0.933, "no: +0.40")]
)
def test_a_single_published_run_is_compared_with_our_interval(
    accuracy, verdict, write, capsys
):
    """RigL at 90 % of CIFAR-10: 92.9, without a deviation."""
    seeds = {n: accuracy + 0.001 * (n - 1) for n in range(3)}
    directory = write("rigl", seeds, published="cifar10/rigl_erk_90")
    assert report(directory, "--ci") == 0
    found = cells(capsys.readouterr().out)["rigl"]["as published"]
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    low, high = (100 * accuracy - 92.9 + end for end in (-half, half))
    assert found == f"{verdict} [{low:+.2f}, {high:+.2f}]"


def test_a_plot_has_the_numbers_beside_it(write, tmp_path, capsys):
    write("rigl", RIGL)
    directory = write("static", {0: 0.9})
    file = tmp_path / "out" / "plot.png"
    assert report(directory, f"--plot={file}", "--x=sparsity") == 0
    assert file.read_bytes().startswith(b"\x89PNG")
    written = json.loads(file.with_suffix(".json").read_text("utf-8"))
    points = {point["label"]: point for point in written["points"]}
    values = 100 * np.array(list(RIGL.values()))
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert points["rigl"]["half_interval"] == pytest.approx(half)
    assert points["rigl"]["x"] == 0.9 and points["rigl"]["seeds"] == [0, 1, 2]
    assert points["static"]["half_interval"] is None


def drawn(directory, *words):
    """Draw a picture; return what is written beside it."""
    file = directory / "plot.png"
    assert report(directory, f"--plot={file}", *words) == 0
    return json.loads(file.with_suffix(".json").read_text("utf-8"))


def test_a_plot_says_what_made_it(write, capsys):
    directory = write("rigl", RIGL)
    found = drawn(directory, "--x=sparsity")
    file = directory / "plot.png"
    words = ["report", str(directory), f"--plot={file}", "--x=sparsity"]
    assert found["words"] == words
    assert found["versions"].keys() > {"rigl_tf", "numpy", "scipy"}
    assert f"picture: {file}\n" in capsys.readouterr().out
    assert report(directory, f"--plot={file}", "--format=csv") == 0
    assert "picture" not in capsys.readouterr().out


def test_lines_do_not_mix_settings(write):
    for interval in (10, 20):
        settings = {"settings": {"UPDATE_INTERVAL": interval}}
        for sparsity in (0.8, 0.9):
            directory = write("rigl", RIGL, sparsity=sparsity, **settings)
    points = drawn(directory, "--x=sparsity")["points"]
    assert {(p["label"], p["color"], p["x"]) for p in points} == {
        (f"rigl, UPDATE_INTERVAL={interval}", "rigl", sparsity)
        for interval in (10, 20)
        for sparsity in (0.8, 0.9)
    }
    points = drawn(directory)["points"]  # over FLOPs, sparsity may vary
    assert len({p["label"] for p in points}) == 2
    points = drawn(directory, "--x=training_multiplier")["points"]
    assert len({p["label"] for p in points}) == 4
    points = drawn(directory, "--x=sparsity", "--by=UPDATE_INTERVAL")["points"]
    colors = {p["color"] for p in points}
    assert colors == {"UPDATE_INTERVAL=10", "UPDATE_INTERVAL=20"}


def test_published_points_are_drawn_without_runs(write):
    directory = write("rigl", RIGL, task="wrn", published="cifar10/rigl_erk_90")
    words = ["--published=cifar10", "--x=sparsity"]
    points = drawn(directory, *words)["points"]
    assert {p["task"] for p in points} == {"wrn"}
    (own,) = [p for p in points if p["n"]]
    assert (own["label"], own["published"], own["x"]) == ("rigl", 92.9, 0.9)
    rigl = [p for p in points if p["color"] == "rigl" and not p["n"]]
    assert {
        (p["label"], p["x"], p["published"]) for p in rigl if p["x"] == 0.8
    } >= {("RigL, published", 0.8, 93.6)}
    assert all(p["y"] is None for p in rigl)


def test_points_off_figures_are_marked(write):
    published = "resnet50/rigl_uniform_80"
    directory = write("rigl", RIGL, published=published)
    words = ["--published=resnet50", "--x=training_multiplier"]
    points = drawn(directory, *words)["points"]
    marked = {p["published"] for p in points if p.get("digitised")}
    assert {74.55, 75.47, 76.08} <= marked  # of the extended training
    assert 76.6 not in marked  # of the table


def test_steps_are_means_over_seeds(write):
    directory = write("rigl", RIGL)
    for seed, workdir in enumerate(sorted(directory.glob("rigl-*"))):
        lines = [{"step": 5, "loss": 2.0, "accuracy": 0.1}]
        for step in (5, 9):
            accuracy = step / 10 + seed / 100
            lines.append({"step": step, "test_accuracy": accuracy})
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (workdir / "metrics.jsonl").write_text(text, "utf-8")
    first, last = drawn(directory, "--x=step")["points"]
    assert (first["x"], last["x"]) == (5, 9)
    assert last["y"] == pytest.approx(91)
    half = stats.t.ppf(0.975, 2) * stats.sem([90, 91, 92])
    assert last["half_interval"] == pytest.approx(half)
    assert last["axis"] == "test accuracy, %" and last["n"] == 3


def test_texts_are_drawn_by_their_bits(write, capsys):
    settings = {"settings": {"A": 1, "B": 2}}
    directory = write("rigl", {0: 0.3}, bits_per_character=3.6, **settings)
    (point,) = drawn(directory)["points"]
    assert (point["y"], point["axis"]) == (3.6, "bits per character")
    write("rigl", RIGL, task="image", **settings)
    words = [f"--plot={directory / 'plot.png'}", "--by=A,B"]
    assert report(directory, *words) == 2  # a heat map has one scale
    assert "tasks of both" in capsys.readouterr().err


def test_two_settings_make_a_heat_map(write, tmp_path):
    for interval in (50, 100):
        for fraction in (0.1, 0.3):
            values = {s: v - fraction / interval for s, v in RIGL.items()}
            settings = {"INTERVAL": interval, "FRACTION": fraction}
            directory = write("rigl", values, settings=settings)
    file = tmp_path / "grid.png"
    words = [f"--plot={file}", "--by=INTERVAL,FRACTION"]
    assert report(directory, *words) == 0
    written = json.loads(file.with_suffix(".json").read_text("utf-8"))
    assert len(written["points"]) == 4
    worst = min(written["points"], key=lambda point: point["y"])
    assert (worst["INTERVAL"], worst["FRACTION"]) == (50, 0.3)


def test_methods_are_compared_over_tasks(write, capsys):
    for task, shift in (("digits_mlp", 0.0), ("mnist_mlp", 0.01)):
        for method, values in (("rigl", RIGL), ("static", STATIC)):
            moved = {seed: v + shift for seed, v in values.items()}
            write(method, moved, task=task)
        directory = write("dense", {0: 0.98}, task=task, sparsity=0.0)
    assert report(directory, "--across_tasks", "--against=static") == 0
    line = capsys.readouterr().out.split("| rigl | 2 | 6 | ")[1]
    scores = sorted(
        (v + shift) / 0.98 for v in RIGL.values() for shift in (0, 0.01)
    )
    assert line.startswith(f"{np.mean(scores[1:-1]):.4f} [")
    assert "| 1.0000 [" in line  # each run of RigL is better in its task


def test_tasks_need_dense_runs_and_two_cells(write, capsys):
    directory = write("rigl", RIGL)
    assert report(directory, "--across_tasks") == 2
    assert "run methods/dense too" in capsys.readouterr().err
    write("dense", {0: 0.98}, sparsity=0.0)
    assert report(directory, "--across_tasks") == 2
    assert "two cells" in capsys.readouterr().err


def test_tasks_take_one_row_of_a_method_and_markdown(write, capsys):
    write("dense", {0: 0.98}, sparsity=0.0)
    write("rigl", RIGL, settings={"UPDATE_INTERVAL": 10})
    directory = write("rigl", STATIC, settings={"UPDATE_INTERVAL": 20})
    assert report(directory, "--across_tasks") == 2
    assert "two of 'rigl' for 'digits_mlp' at 0.9" in capsys.readouterr().err
    assert report(directory, "--across_tasks", "--format=csv") == 2
    assert "leave --format at md" in capsys.readouterr().err
    write("dense", {0: 0.97}, sparsity=0.0, training_multiplier=5)
    write("dense", {0: 0.97}, sparsity=0.0, settings={"L2": 1})
    assert report(directory, "--across_tasks") == 2
    assert "2 rows of it for 'digits_mlp' at 1x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--against=adam"], "must be a method of the report: rigl, set"),
        (["--against=set"], "train more seeds"),
        (["--plot=a.jpg"], "must name a PNG file"),
        (["--plot=a.png", "--x=height"], "--x"),
        (["--plot=a.png", "--by=HEIGHT"], "--by"),
        (["--plot=a.png", "--x=sparsity", "--by=A,B"], "leave out --x"),
        (["--plot=a.png", "--x=step"], "metrics.jsonl"),
        (["--x=sparsity"], "name it with --plot=FILE.png"),
    ],
)
def test_mistakes_are_told_on_one_line(words, message, write, capsys):
    write("rigl", RIGL, settings={"A": 1, "B": 1})
    directory = write("set", {0: 0.9})
    assert report(directory, *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
