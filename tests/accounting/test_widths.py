"""Small-Dense and Big-Sparse networks of a job."""

import contextlib
import math

import keras
from keras.src.backend.common import global_state
import pytest

from rigl_tf.accounting import widths
from rigl_tf.experiments import config
from rigl_tf.experiments import counting
from rigl_tf.experiments import networks


def job(*words):
    return config.parse(config.read(["tasks/digits_mlp", *words]))()


def parameters(width):
    """Count those of 64-300-100-10 at a width, biases included."""
    a, b = math.ceil(300 * width), math.ceil(100 * width)
    return 64 * a + a + a * b + b + b * 10 + 10


def test_small_dense_is_the_narrowest_of_the_size():
    small = job("methods/small_dense", "SPARSITY=0.9")
    nets = networks.Networks(small, DATA)
    width = nets.width
    rival = counting.count(job("methods/rigl", "SPARSITY=0.9"))
    net, narrower = nets.dense(width), nets.dense(width - 0.001)
    assert net.count_params() >= rival["active_parameters"]
    assert narrower.count_params() < rival["active_parameters"]
    counts = counting.count(small)
    assert counts["active_parameters"] == net.count_params()
    # Ratios are those over the network of width 1.
    dense = counting.count(job("methods/dense"))
    ratio = counts["inference_flops"] / dense["inference_flops"]
    assert counts["inference_flops_ratio"] == pytest.approx(ratio)
    assert counts["train_flops_ratio_run"] == pytest.approx(ratio)


def test_big_sparse_is_the_widest_of_the_size():
    big = job("methods/big_sparse", "SPARSITY=0.8")
    counts = counting.count(big)
    dense = counting.count(job("methods/dense"))
    width = networks.Networks(big, DATA).width
    assert width > 1.5
    assert counts["active_parameters"] <= dense["parameters"]
    assert counts["active_parameters"] > 0.99 * dense["parameters"]


def test_finding_a_width_allocates_nothing():
    dense, sizes = networks.Networks(job("methods/dense"), DATA), []

    def build(width):
        net = dense.dense(width)
        sizes.append(net.trainable_variables[0]._value)
        return net

    widths.rival_width("big_sparse", build, lambda net: 0)
    assert sizes and all(value is None for value in sizes)


DATA = job("methods/dense").dataset()


def uninitialized():
    """Return the variables that Keras is to give a value some day."""
    name = "uninitialized_variables"
    return global_state.get_global_attribute(name, [], set_to_default=True)


@pytest.mark.parametrize("failing", [False, True])
def test_finding_a_width_leaves_no_variables_behind(failing):
    with keras.StatelessScope(initialize_variables=False):
        before = keras.Variable("ones", shape=(3,))
    dense, built = networks.Networks(job("methods/dense"), DATA), []

    def build(width):
        if failing and built:
            raise MemoryError
        built.append(dense.dense(width))
        return built[-1]

    with pytest.raises(MemoryError) if failing else contextlib.nullcontext():
        widths.rival_width("big_sparse", build, lambda net: 1000)
    assert [id(v) for v in uninitialized()] == [id(before)]
    # A symbolic call gives its value to all that is left in the list.
    keras.layers.Lambda(lambda x: x + 1)(keras.Input((2,)))
    assert before._value is not None
    values = [v._value for net in built for v in net.variables]
    assert values and all(value is None for value in values)


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["methods/rigl", "SPARSITY=0.9", "WIDTH=small_dense"],
            "without masks",
        ),
        (["methods/dense", "WIDTH=0"], "width"),
        (["methods/dense", "SPARSITY=0.5"], "no masks"),
    ],
)
def test_bad_widths_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        job(*words)
