import collections

import keras
from keras import layers as kl
import numpy as np
import params
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import accounting
from rigl_tf import models
from rigl_tf.accounting import operations
from rigl_tf.accounting import trace


def n_products(counted):
    """Sum the multiplications with kernels."""
    return sum(k.size * k.uses for la in counted.layers for k in la.kernels)


def by_profiler(model):
    """Map types of operations to FLOPs, as TensorFlow counts them."""
    profiler = tf.compat.v1.profiler
    traced = tf.function(lambda x: model(x, training=False))
    (tensor,) = model.inputs
    spec = tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype)
    options = profiler.ProfileOptionBuilder(
        profiler.ProfileOptionBuilder.float_operation()
    )
    profile = profiler.profile(
        traced.get_concrete_function(spec).graph,
        cmd="op",
        options=options.with_empty_output().build(),
    )
    found, node = {}, profile
    while node.children:
        (node,) = node.children
        found[node.name] = node.float_ops
    return found, profile.total_float_ops


def by_type(model):
    flops = collections.Counter()
    for use in trace.trace(model)[0]:
        cost = operations.cost(use.operation)
        flops[use.operation.type] += use.repeats * (
            cost.multiplications + cost.additions
        )
    return flops


def unrolled_char_gru():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            kl.Embedding(256, 128),
            kl.GRU(512, return_sequences=True, unroll=True),
            kl.Dense(256, "relu"),
            kl.Dense(128, "relu"),
            kl.Dense(256),
        ]
    )


IMAGENET = ((224, 224, 3), 1000)


@pytest.mark.parametrize(
    "build, reference",
    [
        params.slow((lambda: models.resnet(*IMAGENET), None)),
        params.slow((lambda: models.mobilenet_v1(*IMAGENET), None)),
        params.slow((lambda: models.mobilenet_v2(*IMAGENET), None)),
        (lambda: models.wide_resnet((32, 32, 3), 10), None),
        (lambda: models.lenet5((28, 28, 1), 10), None),
        (lambda: models.char_gru((4,)), unrolled_char_gru),
    ],
)
def test_counts_are_those_of_tensorflows_profiler(build, reference):
    model = build()
    theirs, total = by_profiler(reference() if reference else model)
    ours = by_type(model)
    # Comparisons and functions of one number cost nothing here.
    for kind in {*theirs, *+ours} - {"Less", "MaxPool", "Rsqrt"}:
        assert ours[kind] == pytest.approx(theirs[kind], rel=0.01), kind
    assert sum(ours.values()) == pytest.approx(total, rel=0.01)
    assert accounting.count(model).flops == pytest.approx(sum(ours.values()))


@pytest.mark.parametrize(
    "name, size, gigamacs",  # as published, where it is known
    params.cover(
        [
            ("ConvNeXtTiny", 224, 4.5),
            ("DenseNet121", 224, 2.85),
            ("EfficientNetB0", 224, 0.39),
            ("InceptionV3", 299, 5.7),
            ("MobileNet", 224, 0.569),
            ("MobileNetV2", 224, 0.300),
            ("MobileNetV3Large", 224, 0.219),
            ("ResNet50", 224, 3.86),
            ("ResNet50V2", 64, None),
            ("VGG16", 224, 15.5),
            ("Xception", 299, 8.4),
        ],
        quick=lambda v: v[0] in ("MobileNetV2", "ResNet50V2"),
    ),
)
def test_applications_cost_what_is_published(name, size, gigamacs):
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3)
    )
    counted = accounting.count(model)
    assert counted.parameters == model.count_params()
    assert n_products(counted) > 0
    if gigamacs:
        assert n_products(counted) / 1e9 == pytest.approx(gigamacs, rel=0.02)


@pytest.mark.slow
def test_resnet50_takes_4_1_gigamacs():
    macs = n_products(accounting.count(models.resnet(*IMAGENET)))
    assert 4.08e9 < macs < 4.12e9


class Affine(keras.layers.Layer):
    """Multiply by a kernel, then apply a function, if there is one."""

    def __init__(self, units, function=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.function = function

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, x):
        y = keras.ops.matmul(x, self.kernel)
        return y if self.function is None else self.function(y)


class Subclassed(keras.Model):
    """Add two dense layers of the same inputs."""

    def __init__(self):
        super().__init__()
        self.left = kl.Dense(3, name="left")
        self.right = kl.Dense(3, name="right")

    def call(self, x):
        return self.left(x) + self.right(x)


def costs(model, **kwargs):
    """Count; return multiplications, additions and parameters."""
    counted = accounting.count(model, **kwargs)
    return counted.multiplications, counted.additions, counted.parameters


def test_shared_layers_count_twice_in_operations_once_in_parameters():
    inner = keras.Sequential([keras.Input((5,)), kl.Dense(5), kl.Dense(3)])
    shared = kl.Dense(5)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, inner(shared(shared(inputs))))
    assert costs(model) == (90, 90 + 18, 30 + 30 + 18)
    paths = [layer.path for layer in accounting.count(model).layers]
    assert paths == ["dense", "sequential/dense", "sequential/dense_1"]


def test_weights_that_layers_share_count_once_in_parameters():
    first = kl.Dense(5, use_bias=False)
    inputs = keras.Input((5,))
    hidden = first(inputs)
    tied = Affine(5)
    tied.build = lambda shape: setattr(tied, "kernel", first.kernel)
    assert costs(keras.Model(inputs, tied(hidden))) == (50, 50, 25)


def test_operations_outside_of_layers_count():
    inputs = keras.Input((4, 6))
    x = kl.Dense(6, use_bias=False)(inputs)
    x = x + inputs
    x = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))
    assert costs(keras.Model(inputs, x)) == (144 + 96, 144 + 24 + 96, 36)


def test_a_layer_of_ones_own_counts():
    inputs = keras.Input((7,))
    counted = accounting.count(keras.Model(inputs, Affine(5)(inputs)))
    (layer,) = counted.layers
    assert (layer.type, layer.flops, layer.shape) == ("Affine", 70, "7x5")


def test_a_layer_traced_before_with_other_sizes_counts():
    inputs = keras.Input((7,))
    double = tf.function(lambda y: y * 2.0)
    assert costs(keras.Model(inputs, Affine(5, double)(inputs)))[:2] == (40, 35)


def test_a_subclassed_model_needs_its_inputs_only_if_it_was_never_called():
    model = Subclassed()
    model.left.build((None, 4))
    model.right.build((None, 4))
    model.built = True
    with pytest.raises(ValueError, match="input_shapes"):
        accounting.count(model)
    expected = (24, 24 + 9, 30)
    assert costs(model, input_shapes=(4,)) == expected
    given = keras.KerasTensor((None, 4))
    assert costs(model, input_shapes=given) == expected
    called = Subclassed()
    called(np.zeros((2, 4)))
    assert costs(called) == expected


def test_an_initial_state_is_no_kernel():
    class Started(keras.layers.Layer):
        def build(self, shape):
            self.gru = kl.GRU(4)
            self.gru.build(shape)
            self.state = self.add_weight(shape=(1, 4))

        def call(self, x):
            return self.gru(x, initial_state=[self.state])

    inputs = keras.Input(batch_shape=(1, 5, 3))
    counted = accounting.count(keras.Model(inputs, Started()(inputs)))
    assert [k.uses for la in counted.layers for k in la.kernels] == [5, 5]


def test_models_of_texts_count():
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="string"),
            kl.StringLookup(vocabulary=["to", "be"]),
            kl.Embedding(3, 4),
            kl.Dense(5, use_bias=False),
        ]
    )
    assert costs(model) == (60, 60, 12 + 20)


def test_models_of_several_inputs_count():
    inputs = {
        "a": keras.Input((4,), name="a"),
        "b": keras.Input((5,), name="b"),
    }
    parts = [kl.Dense(2)(inputs["a"]), kl.Dense(3)(inputs["b"])]
    outputs = kl.Concatenate()(parts)
    expected = (23, 23 + 5, 28)
    assert costs(keras.Model(inputs, outputs)) == expected
    model = keras.Model(list(inputs.values()), {"both": outputs})
    assert costs(model) == expected
    assert costs(model, input_shapes=[(4,), (5,)]) == expected


def test_unknown_sizes_are_asked_for():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, kl.Conv2D(4, 3, use_bias=False)(images))
    with pytest.raises(ValueError, match="input_shapes.*None, None, 3"):
        accounting.count(model)
    assert costs(model, input_shapes=(8, 8, 3))[0] == 6 * 6 * 27 * 4
    with pytest.raises(TypeError, match="must be a shape.*8"):
        accounting.count(model, input_shapes=8)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_does_not_change_counts(policy):
    def build(dtype):
        layers = [kl.Conv2D(4, 3, dtype=dtype), kl.GRU(3, dtype=dtype)]
        layers.insert(1, kl.Reshape((6, 24)))
        return keras.Sequential([keras.Input((8, 8, 2)), *layers])

    mixed = accounting.count(build(policy))
    assert mixed == accounting.count(build("float32"))
    assert mixed.bytes == 4 * mixed.parameters


def test_weights_of_two_bytes_count_two_bytes():
    layer = kl.Dense(5, kernel_initializer="ones", dtype="bfloat16")
    model = keras.Sequential([keras.Input((7,)), layer])
    assert accounting.count(model).bytes == 2 * (7 * 5 + 5)


def test_a_model_of_several_replicas_counts_once(mirrored):
    with mirrored.scope():
        model = tiny.convolutional()
        masked = rigl_tf.sparsify(model, 0.5)
    assert accounting.count(model) == accounting.count(tiny.convolutional())
    assert accounting.count(masked).active < accounting.count(model).active


@pytest.mark.parametrize(
    "function, message",
    [
        (tf.linalg.inv, "MatrixInverse"),
        (
            lambda x: tf.while_loop(
                lambda y: tf.norm(y) > 1, lambda y: (y / 2,), (x,)
            )[0],
            "While",
        ),
        (lambda x: tf.boolean_mask(x, x[..., 0] > 0) * 2.0, "unknown"),
    ],
)
def test_an_unknown_operation_is_named_with_its_layer(function, message):
    inner = keras.Sequential([keras.Input((4, 4)), kl.Dense(4)], name="inner")
    inner.add(Affine(4, function, name="odd"))
    model = keras.Sequential([keras.Input((4, 4)), inner])
    with pytest.raises(ValueError, match=f"'inner/odd' .Affine.*{message}"):
        accounting.count(model)
    assert model(np.eye(4)[None]).shape[-1] == 4
    for layer in model, inner, *inner.layers:
        assert "call" not in layer.__dict__


def test_counting_leaves_the_model_as_it_is():
    inputs = keras.Input((4,))
    layer = kl.Dense(3, activity_regularizer="l2")
    model = keras.Model(inputs, layer(inputs))
    layer.__dict__["call"] = own = lambda x, training: x[:, :3]
    assert accounting.count(model).flops == 0
    assert layer.__dict__["call"] is own
    assert not model.losses
    assert not tf.config.functions_run_eagerly()


@pytest.mark.parametrize("model", [3, keras.Sequential([kl.Dense(3)])])
def test_what_is_no_built_model_is_refused(model):
    with pytest.raises((TypeError, ValueError), match="`model` must be"):
        accounting.count(model)
