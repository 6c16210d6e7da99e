import functools
import inspect

import keras
from keras import layers as kl
import numpy as np
import pytest
import tiny
import zoo

import rigl_tf
from rigl_tf import updaters
from rigl_tf.layers import masking
from rigl_tf.training import optimizer_slots


def rigl():
    return updaters.RigL(
        update_interval=4, update_end_step=8, drop_fraction=0.5
    )


def paths(model):
    return [item.path for item in rigl_tf.masked_kernels(model)]


def assert_sparse(model, sparsity):
    for item in rigl_tf.masked_kernels(model):
        active = item.mask.numpy().sum()
        assert active == item.size - int(sparsity * item.size)
        assert not tiny.off_mask(item, item.kernel).any()


def compiled(model):
    sparse = rigl_tf.SparseModel(model, rigl())
    sparse.compile(tiny.sgd(), tiny.LOSS)
    return sparse


def assert_same(a, b):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p, q)


# Selection


def pictures():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            kl.Conv2D(4, 3, name="stem"),
            kl.BatchNormalization(name="norm"),
            kl.DepthwiseConv2D(2, name="depth"),
            kl.SeparableConv2D(4, 2, name="sep"),
            kl.Flatten(),
            kl.Dense(8, name="hidden"),
            kl.Dense(3, name="out"),
        ]
    )


def words():
    inputs = keras.Input((5,), dtype="int32", name="words")
    x = kl.Embedding(10, 8, name="embed")(inputs)
    x = kl.MultiHeadAttention(2, 4, name="mha")(x, x)
    x = kl.Bidirectional(kl.GRU(4, name="gru"), name="both")(x)
    return keras.Model(inputs, kl.Dense(3, name="out")(x))


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
    [(pictures, ["depth", "sep"]), (words, ["embed", ".*/recurrent_kernel"])],
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


def test_summary_says_what_is_masked_and_why(capsys):
    model = rigl_tf.sparsify(
        pictures(), 0.5, "uniform", dense_layers="out", verbose=True
    )
    printed = capsys.readouterr().out
    rows = {row["path"]: row for row in rigl_tf.summary(model)}
    assert capsys.readouterr().out == printed
    assert rows["hidden/kernel"] == {
        "path": "hidden/kernel",
        "type": "Dense",
        "shape": (16, 8),
        "sparsity": 0.5,
        "why": "masked",
    }
    assert {path: row["why"].split()[0] for path, row in rows.items()} == {
        "stem/kernel": "masked",
        "depth/kernel": "dense",
        "sep/depthwise_kernel": "dense",
        "sep/pointwise_kernel": "masked",
        "hidden/kernel": "masked",
        "out/kernel": "dense",
    }
    assert rows["out/kernel"]["sparsity"] is None
    assert "named in masked_layers" in rows["depth/kernel"]["why"]
    assert "as asked for" in rows["out/kernel"]["why"]
    assert all(path in printed for path in rows)
    assert "16x8" in printed and "0.5000" in printed
    # Five biases and four vectors of the normalisation.
    assert f"never masked: {4 + 4 + 4 + 8 + 3 + 4 * 4}" in printed


def test_summary_of_plain_models_and_of_other_weights(capsys):
    model = zoo.attention()
    model.layers[-1].trainable = False
    why = {row["path"]: row["why"] for row in rigl_tf.summary(model)}
    assert why["dense/kernel"] == "not trainable"
    assert why["multi_head_attention/query_dense/bias"] == "no kernel"
    assert "not masked yet" in why["einsum_dense/kernel"]
    rigl_tf.summary(tiny.dropout_mlp())
    assert "never masked: 12" in capsys.readouterr().out


# Subclassed models


def test_subclassed_models_fit_and_come_back(tmp_path):
    dense = zoo.subclassed()
    before = dense.get_weights()
    model = rigl_tf.sparsify(dense, 0.5, "uniform")
    assert paths(model) == ["blocks/0/kernel", "blocks/1/kernel", "head/kernel"]
    x, y = tiny.arrays()
    compiled(model).fit(x, y % 3, batch_size=8, epochs=2, verbose=0)
    assert_sparse(model, 0.5)
    assert_same(dense.get_weights(), before)
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    other = rigl_tf.sparsify(zoo.subclassed(), 0.5, "uniform", seed=1)
    model.save_weights(tmp_path / "masked.weights.h5")
    other.load_weights(tmp_path / "masked.weights.h5")
    for again in (loaded, other):
        assert_sparse(again, 0.5)
        assert_same(again.get_weights(), model.get_weights())
        assert_same([again(x, training=False)], [model(x, training=False)])
    assert type(rigl_tf.strip(model)) is zoo.Subclassed


class NoKwargs(keras.Model):
    def __init__(self, units=4):
        super().__init__()
        self.units = units
        self.inside = kl.Dense(units)

    def call(self, x):
        return self.inside(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class NotSerialisable(keras.Model):
    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def call(self, x):
        return self.inside(x)


class TwoInputs(keras.Model):
    def __init__(self):
        super().__init__()
        self.inside = kl.Dense(3)

    def call(self, x, y):
        return self.inside(x + y)


def test_constructors_without_kwargs_are_taken():
    dense = NoKwargs(5)
    dense(np.zeros((1, 6)))
    assert rigl_tf.masked_kernels(rigl_tf.sparsify(dense, 0.5))[0].size == 30


@keras.saving.register_keras_serializable(package="test")
class Block(kl.Layer):
    """A layer without `build`, as in most tutorials."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = kl.MultiHeadAttention(2, 4)
        self.inside = keras.Sequential([kl.Dense(8, "relu"), kl.Dense(8)])

    def call(self, x):
        return x + self.inside(self.attention(x, x))


# Keras warns when it loads such layers, masked or not.
@pytest.mark.filterwarnings("ignore:.build... was called on layer")
@pytest.mark.parametrize("selector, n_masked", [(None, 7), ("out", 1)])
def test_layers_without_build_are_taken(selector, n_masked, tmp_path):
    inputs = keras.Input((5, 8))
    outputs = kl.Dense(3, name="out")(Block()(inputs))
    model = keras.Model(inputs, outputs)
    model = rigl_tf.sparsify(model, 0.5, masked_layers=selector)
    assert len(paths(model)) == n_masked
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    assert_same(loaded.get_weights(), model.get_weights())
    x = np.ones((2, 5, 8), np.float32)
    assert_same([rigl_tf.strip(model)(x)], [model(x)])


def test_models_that_cannot_be_rebuilt_are_refused():
    x = np.zeros((1, 6))
    one, two = NotSerialisable(kl.Dense(3)), TwoInputs()
    one(x), two(x, x)
    for model in (one, two):
        before = model.get_weights()
        with pytest.raises(ValueError, match=type(model).__name__):
            rigl_tf.sparsify(model, 0.5)
        assert_same(model.get_weights(), before)


# Optimizers


def multi(cls):
    first, second = keras.optimizers.Adam(0.01), tiny.sgd()
    return cls(lambda variable: first if "fc1" in variable.path else second)


MAKE = {
    "LossScaleOptimizer": lambda cls: cls(keras.optimizers.Adam(0.01), 8.0),
    "MultiOptimizer": multi,
}
OPTIMIZERS = {
    name: functools.partial(MAKE[name], cls) if name in MAKE else cls
    for name, cls in vars(keras.optimizers).items()
    if inspect.isclass(cls)
    and issubclass(cls, keras.optimizers.Optimizer)
    and cls is not keras.optimizers.Optimizer
}
# Older versions of Muon keep slots by the variables' paths.
REFUSED = ("Adafactor", "Muon")[: 2 if keras.version() < "3.13" else 1]
OPTIONS = {
    "accumulation": {"momentum": 0.9, "gradient_accumulation_steps": 2},
    "average": {"use_ema": True, "ema_overwrite_frequency": 3},
    "clipping": {"momentum": 0.9, "global_clipnorm": 0.1},
    "decay": {"weight_decay": 0.1},
}
for key, value in OPTIONS.items():
    OPTIMIZERS[key] = functools.partial(keras.optimizers.SGD, 0.1, **value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_or_is_refused(name):
    if name in REFUSED:
        with pytest.raises(ValueError, match="mirrors none; use e.g. SGD"):
            tiny.trainer(rigl(), OPTIMIZERS[name])
        return
    trainer = tiny.trainer(rigl(), OPTIMIZERS[name])
    items = rigl_tf.masked_kernels(trainer.model)
    before = [(i.mask.numpy(), i.kernel.numpy()) for i in items]
    trainer.train(tiny.batches(), 12)
    assert trainer.step == 12 and trainer.last_update_step == 8
    assert_sparse(trainer.model, 0.5)
    found = optimizer_slots.slots_of(
        trainer.optimizer, [i.kernel for i in items]
    )
    for item, (mask, kernel), kernel_slots in zip(items, before, found):
        assert (item.mask.numpy() != mask).any()
        kept = item.mask.numpy() * mask > 0
        assert (item.kernel.numpy() != kernel)[kept].any()
        for slot in kernel_slots:
            # Adagrad and Ftrl; all others begin with zeros, or the weight.
            initial = 0.1 if slot.name == "_accumulators" else 0.0
            off = tiny.off_mask(item, slot.variable)
            assert (off == np.float32(initial)).all(), slot.name


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


@pytest.mark.parametrize(
    "alias, name", [("er", "erdos_renyi"), ("erk", "erdos_renyi_kernel")]
)
def test_distributions_have_short_names(alias, name):
    short, long = (
        masking.target_sparsities(tiny.convolutional(), 0.8, distribution)
        for distribution in (alias, name)
    )
    assert short == long
