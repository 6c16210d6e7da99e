"""Golden counts and every published cell."""

import dataclasses
import functools
import json
import math
import pathlib
import re

import keras
import params
import pytest

from rigl_tf import accounting
from rigl_tf import cli
from rigl_tf import models
from rigl_tf import updaters
from rigl_tf.accounting import micronet
from rigl_tf.accounting import tables
from rigl_tf.accounting import training_costs
from rigl_tf.accounting import widths
from rigl_tf.accounting.tables import cells
from rigl_tf.layers import masking
from rigl_tf.masks import distribution_tables
from rigl_tf.masks import distributions
from rigl_tf.updaters import updates_of_run

_FILE = pathlib.Path(__file__).parents[1] / "golden" / "flops.json"
GOLDEN = json.loads(_FILE.read_text(encoding="utf-8"))
METHODS = {
    "random": distributions.uniform,
    "erdos_renyi": distributions.erdos_renyi,
    "erdos_renyi_kernel": distributions.erdos_renyi_kernel,
}


@functools.cache
def network(name):
    if name == "resnet50":
        model = models.resnet((224, 224, 3), 1000, symmetric_padding=False)
        return micronet.layer_shapes(model)
    shapes = micronet.layer_shapes(keras.applications.MobileNet(weights=None))
    if name == "mobilenet_v1_modern_keras":
        return shapes
    first = dataclasses.replace(shapes[0], input_size=225)
    return [
        dataclasses.replace(shape, kind="Conv2D")
        for shape in [first, *shapes[1:]]
    ]


ROWS = [
    (name, row)
    for name in (
        "resnet50",
        "mobilenet_v1_as_published",
        "mobilenet_v1_modern_keras",
    )
    for row in GOLDEN[name]
]


@pytest.mark.parametrize("name, row", ROWS)
def test_golden_counts_are_met(name, row):
    shapes = network(name)
    sparsities = {}
    if row["sparsity"]:
        custom = {
            key.replace("depthwise_kernel", "kernel").removesuffix(":0"): value
            for key, value in row["custom"].items()
        }
        by_path = {shape.path: shape.kernel for shape in shapes}
        sparsities = METHODS[row["method"]](
            by_path, row["sparsity"], custom=custom
        )
    last = "fc" if name == "resnet50" else "conv_preds"
    wide = micronet.widened(shapes, row["width"], "conv1", last)
    flops, n_bytes = micronet.totals(wide, sparsities)
    assert flops == pytest.approx(row["total_flops"], rel=1e-9)
    assert 8 * n_bytes == pytest.approx(row["total_bits"], rel=1e-9)
    assert f"{flops / 1e6:.3f}" == row["mflops"]
    assert f"{n_bytes / 1e6:.3f}" == row["mbytes"]
    zeros = sum(int(s.size * sparsities.get(s.path, 0)) for s in wide)
    assert zeros / sum(s.size for s in wide) == pytest.approx(
        row["real_sparsity"], rel=1e-9
    )


def test_there_are_all_golden_rows():
    assert len(ROWS) == 12 + 11 + 9


@pytest.mark.parametrize(
    "name, key",
    [
        ("resnet50", "layers_resnet50"),
        ("mobilenet_v1_modern_keras", "layers_mobilenet_v1"),
    ],
)
def test_layers_are_the_golden_ones(name, key):
    def described(size, stride, kernel):
        return size, stride, *kernel

    # A dense layer's input has no height.
    ours = sorted(
        described(s.input_size, s.stride, s.kernel)
        for s in network(name)
        if s.kind != "Dense"
    )
    golden = sorted(
        described(layer["input_size"], layer["strides"][0], layer["kernel"])
        for layer in GOLDEN[key]
        if len(layer["kernel"]) == 4
    )
    assert ours == golden


def test_dense_networks_cost_what_was_published():
    flops, n_bytes = micronet.totals(network("resnet50"))
    assert f"{flops / 1e6:.3f} {n_bytes / 1e6:.3f}" == "8202.341 102.122"
    flops, n_bytes = micronet.totals(network("mobilenet_v1_as_published"))
    assert f"{flops / 1e6:.3f} {n_bytes / 1e6:.3f}" == "1141.544 16.864"


@pytest.mark.slow
def test_a_model_is_counted_by_the_published_rule():
    model = models.resnet((224, 224, 3), 1000, symmetric_padding=False)
    count = accounting.count(model, rule="published")
    assert (count.flops, count.bytes) == micronet.totals(network("resnet50"))
    targets = masking.target_sparsities(model, 0.9)
    count = accounting.count(model, rule="published", sparsities=targets)
    golden = GOLDEN["resnet50"][2]
    assert count.flops == pytest.approx(golden["total_flops"], rel=1e-9)
    assert count.bytes == pytest.approx(golden["total_bits"] / 8, rel=1e-9)


def test_the_published_rule_names_layers_that_it_does_not_cover():
    model = models.char_gru((8,))
    with pytest.raises(ValueError, match="layer 'embedding' of type Embedding"):
        accounting.count(model, rule="published")
    with pytest.raises(ValueError, match="`rule` must be one of"):
        accounting.count(model, rule="exactly")


@pytest.mark.parametrize(
    "shape, layer",
    [
        ((8, 16, 3), keras.layers.Conv2D(4, 3)),
        ((8, 8, 3), keras.layers.Conv2D(4, 3, dilation_rate=2)),
        ((8, 8, 4), keras.layers.Conv2D(4, 3, groups=2)),
        ((8, 8, 3), keras.layers.DepthwiseConv2D(3, depth_multiplier=2)),
        ((8, 8, 3), keras.layers.Conv2D(4, (3, 1))),
        ((5, 8), keras.layers.Dense(4)),
    ],
)
def test_the_published_rule_refuses_what_it_would_miscount(shape, layer):
    model = keras.Sequential([keras.Input(shape), layer])
    with pytest.raises(ValueError, match="The published rule covers"):
        accounting.count(model, rule="published")


def test_the_published_rule_refuses_a_layer_used_twice():
    layer = keras.layers.Dense(4)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(layer(inputs)))
    with pytest.raises(ValueError, match="each used once"):
        accounting.count(model, rule="published")


@pytest.mark.parametrize("rule", ["exact", "published"])
@pytest.mark.parametrize(
    "sparsities, text",
    [({"nope": 0.5}, "names no weight: 'nope'"), ({"fc1/kernel": 1.5}, "1.5")],
)
def test_bad_sparsities_are_refused(rule, sparsities, text):
    model = models.mlp((4,), 3)
    with pytest.raises(ValueError, match=text):
        accounting.count(model, rule=rule, sparsities=sparsities)


def test_the_command_line_lists_all_tables(capsys):
    assert cli.main(["table"]) == 0
    assert capsys.readouterr().out.split() == list(tables.BY_NAME)


@functools.cache
def table(name):
    return tables.BY_NAME[name]()


def agrees(value, printed):
    """Say whether a number, rounded as `printed` is, is `printed`."""
    digits, _, exponent = printed.partition("e")
    n_decimals = len(digits.partition(".")[2])
    if not exponent:
        return f"{value:.{n_decimals}f}" == printed
    ours, _, power = f"{value:.{n_decimals}e}".partition("e")
    return ours == digits and int(power) == int(exponent)


CELLS = [cell for name in tables.BY_NAME for cell in cells.published(name)]


@pytest.mark.parametrize(
    "name",
    params.cover(
        list(tables.BY_NAME),
        quick=lambda name: name not in ("resnet50", "mobilenet_v2", "cifar"),
    ),
)
def test_every_published_cell_agrees_or_has_a_reason(name):
    rows = table(name).rows
    for cell in cells.published(name):
        assert cell.column in table(name).columns, cell
        value = rows[cell.row][cell.column]
        # A reason that has become stale is an error too.
        assert agrees(value, cell.published) != bool(cell.reason), cell


def test_every_cell_is_in_a_table_and_told_once():
    lines = cells._PUBLISHED.joinpath("published_counts.csv").read_text(
        encoding="utf-8"
    )
    n_lines = sum(not x.startswith("#") for x in lines.splitlines()) - 1
    keys = {(c.table, c.row, c.column, c.source) for c in CELLS}
    assert n_lines == len(CELLS) == len(keys) > 300
    # Most of what was published is right.
    assert sum(bool(c.reason) for c in CELLS) < len(CELLS) / 4


@pytest.mark.parametrize(
    "value, printed, expected",
    [
        (0.2254, "0.23", True),
        (0.2254, "0.22", False),
        (3.225e18, "3.2e18", True),
        (3.26e18, "3.2e18", False),
        (5.7898, "5.8", True),
        (195100.2, "195100", True),
    ],
)
def test_numbers_agree_as_they_are_printed(value, printed, expected):
    assert agrees(value, printed) == expected


def test_tables_show_reasons_below():
    text = tables.markdown("widths")
    assert "| ResNet-50, Small-Dense, 0.8 | 0.465 | 0.465 |" in text
    text = cells.markdown(table("resnet50"))
    (number,) = re.findall(r"\| 0\.52 \[(\d)\] \|", text)
    assert f"\n[{number}] counts the first convolution as sparse" in text
    assert "| Big-Sparse, ERK, 0.8, 1x | 1.7711 | – | – |" in text


@pytest.mark.parametrize("name", ["lenet", "gru", "mobilenet_v2"])
def test_tables_are_printed(name, capsys):
    assert cli.main(["table", name]) == 0
    assert f"| {name} |" in capsys.readouterr().out


def test_a_table_that_is_none_is_named(capsys):
    assert cli.main(["table", "resnet"]) == 2
    assert "There are the tables resnet50" in capsys.readouterr().err


# Training.

EXACT = {  # f_S / f_D of kernels alone -> RigL (Delta T 100) and SNFS.
    0.2231: (0.2257, 0.4821),
    0.4138: (0.4157, 0.6092),
    0.1260: (0.1289, 0.4173),
    0.0243: (0.0276, 0.3496),
}


@pytest.mark.parametrize("sparse", EXACT)
def test_formulas_are_those_of_the_paper(sparse):
    rigl, snfs = EXACT[sparse]
    step = training_costs.step_flops
    window = {"update_interval": 100, "update_end_step": 25_000}
    assert step(updaters.RigL(**window), sparse, 1, 100) / 3 == pytest.approx(
        rigl, abs=1e-4
    )
    assert step(updaters.SNFS(**window), sparse, 1, 100) / 3 == pytest.approx(
        snfs, abs=1e-4
    )
    for updater in (updaters.SET(**window), updaters.Static()):
        assert step(updater, sparse, 1, 100) == 3 * sparse
    assert step(None, sparse, 1, 100) == 3


def test_a_run_costs_what_its_steps_and_updates_cost():
    # 32,000 steps, updates at 0, 100, ..., 25,000 on batches of their own.
    rigl = updaters.RigL(update_interval=100, update_end_step=25_000)
    total = 32_000 * 3 * 0.2 + 251 * (2 * 0.2 + 1)
    assert training_costs.run_flops(rigl, 0.2, 1, 32_000) == pytest.approx(
        total
    )
    counted = updaters.RigL(
        update_interval=100, update_end_step=25_000, counts_update_steps=True
    )
    total = (32_000 - 251) * 3 * 0.2 + 251 * (2 * 0.2 + 1)
    assert updates_of_run.count(counted, 32_000) == 251
    assert training_costs.run_flops(counted, 0.2, 1, 32_000) == pytest.approx(
        total
    )
    snip = updaters.SNIP()
    assert training_costs.run_flops(snip, 0.2, 1, 50) == pytest.approx(
        50 * 3 * 0.2 + 3
    )
    assert training_costs.run_flops(None, 1, 1, 50) == 150
    sets = updaters.SET(update_interval=7, update_end_step=40)
    assert training_costs.run_flops(sets, 0.2, 1, 50) == pytest.approx(30)
    assert updates_of_run.count(sets, 50) == 5
    never_ends = updaters.SET(
        update_interval=10,
        update_end_step=None,
        drop_fraction=lambda step: 0.1,
    )
    assert updates_of_run.count(never_ends, 50) == 5
    # RigL updates before a step: there is none after the last.
    rigl = updaters.RigL(update_interval=10, update_end_step=50)
    assert updates_of_run.count(rigl, 50) == 5


# Widths.


def test_the_finder_meets_the_budget_from_either_side():
    def measure(width):
        return int(10 * width) ** 2

    assert widths.find_width(measure, 30, step=0.01) == 0.59
    assert widths.find_width(measure, 36, step=0.01) == 0.69
    assert widths.find_width(measure, 30, step=0.01, at_most=False) == 0.6
    assert widths.find_width(measure, 36, step=0.01, at_most=False) == 0.6


def test_the_finder_takes_models():
    def measure(width):
        return models.mlp((28, 28, 1), 10, width=width).count_params()

    width = widths.find_width(measure, 26_661, step=0.001)
    assert measure(width) <= 26_661 < measure(width + 0.01)


@pytest.mark.parametrize("budget", [0.5, 1e9])
def test_a_budget_out_of_reach_is_refused(budget):
    with pytest.raises(ValueError, match="No width in"):
        widths.find_width(lambda width: 1 + width, budget)
    with pytest.raises(ValueError, match="`budget` must be"):
        widths.find_width(lambda width: width, -1)


# Tables as distributions.


def test_tables_are_distributions():
    model = models.resnet((224, 224, 3), 1000)
    found = masking.target_sparsities(model, 0.7955, "str_resnet50")
    assert found["conv1/kernel"] == 0.5146
    assert found["fc/kernel"] == 0.5065
    for level in (0.9805, 0.9879):  # out of reach in the original code
        masking.target_sparsities(model, level, "str_resnet50")
    found = masking.target_sparsities(
        model, 0.9, "dsr_resnet50", custom={"fc/kernel": 0.5}
    )
    assert found["group2_block1_shortcut/kernel"] == 0.8
    assert found["fc/kernel"] == 0.5


def test_overall_sparsities_of_tables_are_their_columns():
    model = models.resnet((224, 224, 3), 1000)
    sizes = {s.path: s.size for s in micronet.layer_shapes(model)}
    for level in (0.7955, 0.9023, 0.991):
        found = masking.target_sparsities(model, level, "str_resnet50")
        zeros = sum(sizes[path] * s for path, s in found.items())
        assert zeros / 25_502_912 == pytest.approx(level, abs=1e-4)
    assert math.isclose(sum(sizes.values()), 25_502_912)


@pytest.mark.parametrize(
    "shapes, sparsity, options, text",
    [
        ({"conv1/kernel": (7, 7, 3, 64)}, 0.5, {}, "a column for: 0.8, 0.9"),
        ({"dense/kernel": (3, 4)}, 0.8, {}, "kernel 'dense/kernel'"),
        ({"fc/kernel": (3, 4)}, 0.8, {"count_custom": True}, "no budget"),
    ],
)
def test_bad_uses_of_a_table_are_refused(shapes, sparsity, options, text):
    with pytest.raises(ValueError, match=text):
        distributions.get("dsr_resnet50")(shapes, sparsity, **options)


def test_a_file_without_the_column_is_no_table(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("layer,0.5\nfc,0.5\n", encoding="utf-8")
    with pytest.raises(ValueError, match='a column "kernel"'):
        distribution_tables.from_table(path)
    path.write_text("# mine\nkernel,0.5\nfc,0.25\n", encoding="utf-8")
    for cell, message in (("x", "must hold numbers"), ("1.5", r"\[0, 1\)")):
        path.write_text(f"kernel,0.5\nfc,{cell}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            distribution_tables.from_table(path)
    path.write_text("# mine\nkernel,0.5\nfc,0.25\n", encoding="utf-8")
    mine = distribution_tables.from_table(path)
    assert mine({"fc": (2, 2)}, 0.5) == {"fc": 0.25}
    assert mine.__name__ == "mine"
