"""Pictures show the numbers that they are given."""

import builtins
import json

import keras
import numpy as np
import pytest

import rigl_tf
from rigl_tf import plots

# Three records of 8x8 pixels: connections move from a corner to the middle.
STEPS = [0, 100, 250]
IMAGES = np.zeros((3, 8, 8))
IMAGES[0, 0, :4] = 3
IMAGES[1, 0, :2] = 3
IMAGES[1, 4, 3:5] = 3
IMAGES[2, 3:5, 3:5] = 3


def points(line):
    return list(zip(*(values.tolist() for values in line.get_data())))


def test_the_share_at_the_edge_is_counted():
    image = np.zeros((8, 8))
    image[0, 0] = image[3, 3] = image[4, 4] = image[7, 2] = 1
    assert plots.edge_share(image, 1) == 0.5
    assert plots.edge_share(image, 3) == 0.5
    assert plots.edge_share(np.zeros((8, 8)), 1) == 0


def test_connectivity_shows_records_and_shares():
    figure = plots.connectivity(IMAGES, STEPS, title="100 % x_1^2")
    *panels, bar, shares = figure.axes
    assert [axes.get_title() for axes in panels] == [
        "step 0",
        "step 100",
        "step 250",
    ]
    for axes, image in zip(panels, IMAGES):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        assert axes.images[0].get_clim() == (0, 3)
    assert points(shares.lines[0]) == [(0, 1.0), (100, 0.5), (250, 0.0)]
    dots = shares.collections[-1].get_offsets()
    np.testing.assert_array_equal(dots, points(shares.lines[0]))
    assert "outer pixel" in shares.get_ylabel()
    assert figure.get_suptitle() == "Connections per input pixel: 100 % x_1^2"


def test_connectivity_chooses_early_records_and_takes_a_frame():
    steps = list(range(0, 1000, 10))
    figure = plots.connectivity(np.ones((100, 28, 28)), steps, frame=2)
    titles = [axes.get_title() for axes in figure.axes[:-2]]
    assert titles == [f"step {n}" for n in (0, 40, 160, 360, 630, 990)]
    assert figure.get_suptitle() == "Connections per input pixel"
    shares = figure.axes[-1].lines[0].get_ydata()
    np.testing.assert_allclose(shares, 1 - 24**2 / 28**2)
    assert "outer 2 pixels" in figure.axes[-1].get_ylabel()


def test_frames_of_an_animation_are_the_records():
    frames = plots.connectivity_frames(IMAGES, STEPS)
    assert [frame.shape for frame in frames] == [(325, 300, 3)] * 3
    assert frames[0].dtype == np.uint8
    # The corner is bright at first, the middle in the end.
    corner, middle = np.s_[40:60, 15:40], np.s_[170:180, 145:155]
    assert frames[0][corner].mean() > 3 * frames[2][corner].mean()
    assert frames[2][middle].mean() > 3 * frames[0][middle].mean()


@pytest.mark.parametrize(
    "images, steps", [(IMAGES, [0, 1]), (IMAGES[0], [0] * 8), ([], [])]
)
def test_what_is_no_list_of_images_is_refused(images, steps):
    for draw in (plots.connectivity, plots.connectivity_frames):
        with pytest.raises(ValueError, match="`images` must be.*Received: "):
            draw(images, steps)


def test_layer_sparsities_are_bars():
    masks = {"a/kernel": np.eye(4), "b/kernel": np.ones((2, 3))}
    (axes,) = plots.layer_sparsities(masks).axes
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["a/kernel", "b/kernel"]
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["4 of 16", "6 of 6"]
    (overall,) = axes.lines
    np.testing.assert_allclose(overall.get_xdata(), 1 - 10 / 22)


def test_layer_sparsities_of_a_model_are_those_of_its_masks():
    dense = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(10, name="one")]
    )
    model = rigl_tf.sparsify(dense, 0.8)
    for shown in (model, rigl_tf.SparseModel(model, "static")):
        (axes,) = plots.layer_sparsities(shown).axes
        np.testing.assert_allclose(axes.patches[0].get_width(), 0.8)
        assert axes.texts[0].get_text() == "20 of 100"
    with pytest.raises(ValueError, match="no masked kernels"):
        plots.layer_sparsities(dense)
    with pytest.raises(ValueError, match="must have masks. Received: none"):
        plots.layer_sparsities({})


LINES = [
    {"step": 5, "loss": 2.0, "accuracy": 0.5, "layers": [], "seconds": {}},
    {"step": 10, "loss": 1.0, "accuracy": 0.75, "wall_seconds": 3.0},
    {"step": 10, "test_loss": 1.5, "test_top_5_accuracy": 1.0},
]


def test_training_curves_are_the_numbers_over_steps():
    figure = plots.training_curves(LINES)
    loss, accuracy, top_5 = figure.axes
    assert loss.get_title() == "loss"
    assert points(loss.lines[0]) == [(5, 2.0), (10, 1.0)]
    assert points(loss.lines[1]) == [(10, 1.5)]
    labels = [text.get_text() for text in loss.get_legend().get_texts()]
    assert labels == ["loss", "test_loss"]
    assert points(accuracy.lines[0]) == [(5, 0.5), (10, 0.75)]
    assert accuracy.get_legend() is None
    assert top_5.get_title() == "top 5 accuracy"
    assert points(top_5.lines[0]) == [(10, 1.0)]


def test_training_curves_of_a_work_directory(tmp_path):
    text = "".join(f"{json.dumps(line)}\n" for line in LINES) + "half a li"
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    for workdir in (tmp_path, str(tmp_path)):
        (panel,) = plots.training_curves(workdir, ["accuracy"]).axes
        assert points(panel.lines[0]) == [(5, 0.5), (10, 0.75)]
    with pytest.raises(FileNotFoundError):
        plots.training_curves(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="numbers.*Received: 1 lines"):
        plots.training_curves([{"step": 1}])


def test_panels_fill_rows_of_three():
    line = {"step": 1, **{name: 0.5 for name in "abcd"}}
    figure = plots.training_curves([line])
    assert [axes.get_title() for axes in figure.axes] == list("abcd")


def row(task, method, cost, accuracy, **more):
    return {
        "task": task,
        "method": method,
        "train_flops_ratio_run": cost,
        "accuracy": accuracy,
        **more,
    }


ROWS = [
    row("b", "rigl", 0.4, 0.8, published_accuracy=77.0),
    row("b", "rigl", 0.1, 0.5),
    row("b", "set", 0.2, 0.6),
    row("a", "gru", 0.5, 0.3, bits_per_character=1.5),
]


def test_accuracy_over_flops_has_a_panel_per_task_and_a_line_per_method():
    a, b = plots.accuracy_over_flops(ROWS).axes
    assert a.get_title() == "a"
    assert b.get_title() == "b (crosses: published)"
    assert points(a.lines[0]) == [(0.5, 1.5)]
    assert a.get_ylabel() == "bits per character"
    rigl, cross, other = b.lines
    assert points(rigl) == [(0.1, 50.0), (0.4, 80.0)]
    assert points(cross) == [(0.4, 77.0)]
    assert points(other) == [(0.2, 60.0)]
    assert (a.get_xscale(), b.get_xscale()) == ("linear", "log")
    names = [text.get_text() for text in b.get_legend().get_texts()]
    assert names == ["rigl", "set"]


def test_accuracy_over_flops_takes_labels():
    _, b = plots.accuracy_over_flops(ROWS, ["1", "2", "$3", "4"]).axes
    names = [text.get_text() for text in b.get_legend().get_texts()]
    assert names == [r"\$3", "1", "2"]
    with pytest.raises(ValueError, match="at least one row. Received: none"):
        plots.accuracy_over_flops([])


def test_pyplot_is_left_alone():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    plots.connectivity(IMAGES, STEPS)
    plots.training_curves(LINES)
    assert pyplot.get_fignums() == []


def test_a_missing_matplotlib_is_named_on_one_line(monkeypatch):
    found = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for draw in (
        lambda: plots.connectivity(IMAGES, STEPS),
        lambda: plots.layer_sparsities({"a": np.ones(2)}),
        lambda: plots.training_curves(LINES),
        lambda: plots.accuracy_over_flops(ROWS),
    ):
        with pytest.raises(ImportError) as caught:
            draw()
        assert "pip install rigl-tf[plots]" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_latencies_are_drawn_per_example():
    rows = [
        {
            "format": "litert",
            "batch": batch,
            "weights": kind,
            "median_ms": median,
            "p95_ms": 2 * median,
            "speedup": 6.0 / median,
        }
        for batch, kind, median in ((1, "dense", 6.0), (1, "sparse", 2.0))
    ]
    axes = plots.latencies(rows).axes[0]
    dense, sparse = (container[0].get_xdata() for container in axes.containers)
    assert (list(dense), list(sparse)) == ([6.0], [2.0])
    assert [text.get_text() for text in axes.texts] == ["3.0x"]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["litert, batch 1"]
    with pytest.raises(ValueError, match="must not be empty"):
        plots.latencies([])


def point(label, x, y, **more):
    common = {"task": "t", "distribution": "", "label": label}
    return {**common, "x": x, "y": y, **more}


def test_accuracy_over_has_a_color_per_method_and_a_dash_per_distribution():
    kinds = ("erk", "uniform")
    figure = plots.accuracy_over(
        [
            point(f"{name}, {kind}", x, 1, color=name, distribution=kind)
            for name in ("rigl", "set")
            for kind in kinds
            for x in (1, 2)
        ]
    )
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert len(lines) == 4
    for name in ("rigl", "set"):
        erk, uniform = (lines[f"{name}, {kind}"] for kind in kinds)
        assert erk.get_color() == uniform.get_color()
        assert erk.get_linestyle() != uniform.get_linestyle()
    assert erk.get_color() != lines["rigl, erk"].get_color()


def test_many_lines_look_different():
    labels = [f"{i:02}" for i in range(15)] + ["a, 1", "a, 2"]
    figure = plots.accuracy_over(
        [point(label, 1, 1, color=label.split(",")[0]) for label in labels]
    )
    looks = {
        (line.get_color(), line.get_linestyle(), line.get_marker())
        for line in figure.axes[0].lines
    }
    assert len(looks) == 17


@pytest.mark.parametrize("n, kind", [(3, "LineCollection"), (20, "Poly")])
def test_intervals_are_bars_or_a_band(n, kind):
    points_ = [point("a", x, 5, half_interval=x + 1.0) for x in range(n)]
    points_.append(point("a", n, 5, half_interval=None))  # of one run
    (drawn,) = plots.accuracy_over(points_).axes[0].collections
    assert kind in type(drawn).__name__
    ends = np.concatenate([path.vertices for path in drawn.get_paths()])
    assert {tuple(end) for end in ends} >= {(1, 3), (1, 7)}
    assert ends[:, 0].max() == n - 1


def test_published_points_are_crosses_and_hollow_off_figures():
    figure = plots.accuracy_over(
        [
            point("a", 1, None, published=3),
            point("a", 2, None, published=4, digitised=True),
        ]
    )
    cross, hollow = figure.axes[0].lines
    assert (cross.get_marker(), points(cross)) == ("x", [(1, 3)])
    assert (hollow.get_marker(), points(hollow)) == ("X", [(2, 4)])
    assert hollow.get_markerfacecolor() == "none"


def test_a_grid_has_a_cell_per_pair():
    cells = [
        {"panel": "p", "A": a, "B": b, "y": 10 * a + b, "axis": "bits"}
        for a in (2, 1)
        for b in (3, 4)
    ]
    panel, bar = plots.accuracy_grid(cells[1:], "A", "B").axes
    shown = np.ma.filled(panel.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, [[13, 14], [np.nan, 24]])
    assert bar.get_ylabel() == "bits"
    with pytest.raises(ValueError, match="two of p at 1, 4"):
        plots.accuracy_grid([*cells, cells[-1]], "A", "B")
