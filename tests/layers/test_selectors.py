"""Selectors of kernels, and of custom sparsities."""

import keras
from keras import layers as kl
from masked_models import assert_same
from masked_models import assert_sparse
from masked_models import compiled
from masked_models import paths
from masked_models import pictures
from masked_models import words
import numpy as np
import params
import pytest
import tiny

import rigl_tf

USUAL = ["stem/kernel", "sep/pointwise_kernel", "hidden/kernel", "out/kernel"]
SELECTED = {
    "usual": (None, (), USUAL),
    "path": ("hidden/kernel", (), ["hidden/kernel"]),
    "part": ("sep/pointwise_kernel", (), ["sep/pointwise_kernel"]),
    "names": (["out", "stem"], (), ["stem/kernel", "out/kernel"]),
    "regex": (r"(hid|o).*/.*", (), ["hidden/kernel", "out/kernel"]),
    "class": (kl.Dense, (), ["hidden/kernel", "out/kernel"]),
    "asked for": ([kl.DepthwiseConv2D], (), ["depth/kernel"]),
    "mixed": ([kl.Conv2D, "out"], (), ["stem/kernel", "out/kernel"]),
    "predicate": (
        lambda path, layer: "depthwise" in path and layer.name == "sep",
        (),
        ["sep/depthwise_kernel"],
    ),
    "less": (None, [kl.Dense, "sep"], ["stem/kernel"]),
    "both": (kl.Dense, "out", ["hidden/kernel"]),
}


@pytest.mark.parametrize("masked, dense, expected", SELECTED.values())
def test_selectors(masked, dense, expected):
    model = rigl_tf.sparsify(
        pictures(), 0.5, masked_layers=masked, dense_layers=dense
    )
    assert paths(model) == expected


@pytest.mark.parametrize("selector", ["both", kl.Bidirectional, "both/.*"])
def test_a_layer_stands_for_the_kernels_of_all_layers_inside(selector):
    model = rigl_tf.sparsify(words(), 0.5, masked_layers=selector)
    assert len(paths(model)) == 4
    assert all(path.startswith("both/") for path in paths(model))
    chosen = rigl_tf.sparsify(words(), 0.5, masked_layers=kl.Layer)
    # Embedding, query, key, value, output, two kernels a direction, out.
    assert len(paths(chosen)) == 10


@pytest.mark.parametrize("argument", ["masked_layers", "dense_layers"])
def test_a_selector_must_match(argument):
    for selector in ("hiden", kl.GRU, lambda path, layer: False):
        with pytest.raises(ValueError, match=f"{argument}.*hidden/kernel"):
            rigl_tf.sparsify(pictures(), 0.5, **{argument: selector})
    with pytest.raises(TypeError, match=f"{argument}.*layer classes"):
        rigl_tf.sparsify(pictures(), 0.5, **{argument: [3]})
    with pytest.raises(ValueError, match=f"{argument}.*regular expr"):
        rigl_tf.sparsify(pictures(), 0.5, **{argument: "(out"})
    with pytest.raises(ValueError, match="at least one kernel"):
        rigl_tf.sparsify(
            pictures(), 0.5, masked_layers="out", dense_layers=".*"
        )


@pytest.mark.parametrize(
    "build, selector",
    [
        (pictures, ["depth", "sep"]),
        params.slow((words, ["embed", ".*/recurrent_kernel"])),
    ],
)
def test_what_is_asked_for_trains_and_comes_back(build, selector, tmp_path):
    model = rigl_tf.sparsify(build(), 0.5, "uniform", masked_layers=selector)
    assert len(paths(model)) == 3
    before = [i.mask.numpy() for i in rigl_tf.masked_kernels(model)]
    shape = (16, *model.input_shape[1:])
    x = np.random.default_rng(0).integers(0, 10, shape)
    compiled(model).fit(x, np.arange(16) % 3, batch_size=2, epochs=2, verbose=0)
    assert_sparse(model, 0.5)
    items = rigl_tf.masked_kernels(model)
    assert all((b != i.mask.numpy()).any() for b, i in zip(before, items))
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    assert paths(loaded) == paths(model)
    assert_same(loaded.get_weights(), model.get_weights())


# Subclassed models


# Optimizers


@pytest.mark.parametrize(
    "selector",
    ["fc1", "fc1/kernel", "fc.1?", kl.Dense, lambda path, layer: "1" in path],
)
def test_custom_sparsities_take_the_selectors_of_masked_layers(selector):
    model = rigl_tf.sparsify(tiny.mlp(), 0.5, custom={selector: 0.75})
    found = {k.path: k.sparsity for k in rigl_tf.masked_kernels(model)}
    assert found["fc1/kernel"] == 0.75


def test_the_first_custom_selector_decides():
    custom = {"fc1": 0.75, kl.Dense: 0.25}
    model = rigl_tf.sparsify(tiny.mlp(), 0.5, custom=custom)
    found = [k.sparsity for k in rigl_tf.masked_kernels(model)]
    assert found == [0.75, 0.25]
    with pytest.raises(ValueError, match="matched by earlier patterns alone"):
        rigl_tf.sparsify(tiny.mlp(), 0.5, custom={kl.Dense: 0.25, "fc1": 0.75})


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"custom": {"fc3": 0.5}}, ValueError, "`custom` names no kernel"),
        ({"custom": {"fc1(": 0.5}}, ValueError, "regular expressions"),
        ({"custom": {3: 0.5}}, TypeError, "`custom` takes strings"),
        ({"custom": ["fc1"]}, TypeError, "must map selectors"),
        ({"sparsity": {"fc1": 0.5}}, TypeError, "go into `custom`"),
        ({"distribution": "erd"}, ValueError, "must be one of uniform"),
    ],
)
def test_custom_sparsities_of_another_kind_are_refused(options, error, message):
    options = {"sparsity": 0.5, **options}
    with pytest.raises(error, match=message):
        rigl_tf.sparsify(tiny.mlp(), **options)
