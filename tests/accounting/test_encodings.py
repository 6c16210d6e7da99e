import itertools

import keras
from keras import layers as kl
import numpy as np
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import accounting
from rigl_tf.accounting import dead_units
from rigl_tf.accounting import encodings
from rigl_tf.layers import masking


def recurrent():
    """Build a network with kernels in cells, one of them in two directions."""
    return keras.Sequential(
        [
            keras.Input((5, 6)),
            kl.Bidirectional(kl.LSTM(4, return_sequences=True)),
            kl.GRU(4),
            kl.Dense(2),
        ]
    )


@pytest.mark.parametrize(
    "build", [tiny.mlp, tiny.nested, tiny.convolutional, recurrent]
)
def test_masked_stripped_and_planned_models_count_alike(build):
    dense = build()
    masked = rigl_tf.sparsify(dense, 0.7)
    counted = accounting.count(masked)
    planned = masking.target_sparsities(dense, 0.7)
    assert accounting.count(rigl_tf.strip(masked)) == counted
    assert accounting.count(dense, sparsities=planned) == counted
    assert counted.dense == accounting.count(dense)
    n_zeros = sum(
        item.size - int(np.sum(item.mask.numpy()))
        for item in rigl_tf.masked_kernels(masked)
    )
    assert counted.dense.active - counted.active == n_zeros
    assert counted.flops < counted.dense.flops


def test_zeros_save_what_their_kernel_multiplies():
    masked = rigl_tf.sparsify(tiny.mlp(), 0.5, "uniform")
    counted = accounting.count(masked)
    assert counted.multiplications == 24 + 16
    assert counted.additions == 24 + 16 + 8 + 4
    assert (counted.active, counted.parameters) == (40 + 12, 80 + 12)
    assert counted.bytes == 6 + 4 + 4 * (40 + 12)
    assert counted.csr_bytes == 8 * 40 + 4 * (9 + 5) + 4 * 12


def test_sparsities_of_unknown_kernels_are_refused():
    with pytest.raises(ValueError, match="no weight: 'fc3/kernel'.*fc2/kernel"):
        accounting.count(tiny.mlp(), sparsities={"fc3/kernel": 0.5})


def test_bytes_of_a_bit_mask():
    assert encodings.bitmask_bytes(100, 100) == 400
    assert encodings.bitmask_bytes(100, 10) == 13 + 40
    assert encodings.bitmask_bytes(100, 10, itemsize=2) == 13 + 20


@pytest.mark.parametrize("shape", [(30, 20), (3, 3, 5, 7)])
def test_bytes_of_compressed_rows_are_those_of_scipy(shape):
    sparse = pytest.importorskip("scipy.sparse")
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    kernel[kernel < 1] = 0
    rows = sparse.csr_matrix(kernel.reshape(-1, shape[-1]).T)
    arrays = rows.data, rows.indices, rows.indptr
    assert encodings.csr_bytes(shape, np.count_nonzero(kernel)) == sum(
        array.nbytes for array in arrays
    )
    assert encodings.csr_bytes(shape, kernel.size) == kernel.nbytes


def alive(masks):
    """Find the units on a path from an input to an output, layer by layer."""
    widths = [len(masks[0]), *(mask.shape[1] for mask in masks)]
    units = [set() for _ in widths]
    for path in itertools.product(*map(range, widths)):
        if all(m[a, b] for m, a, b in zip(masks, path, path[1:])):
            for found, unit in zip(units, path):
                found.add(unit)
    units[-1] = range(widths[-1])
    return [sorted(found) for found in units]


@pytest.mark.parametrize("density", [0.2, 0.3, 0.5])
def test_dead_units_are_those_on_no_path(density):
    rng = np.random.default_rng(1)
    for _ in range(20):
        widths = rng.integers(1, 6, size=4)
        masks = [
            rng.random(shape) < density for shape in zip(widths, widths[1:])
        ]
        units = alive(masks)
        for before, after, mask, left in zip(
            units, units[1:], masks, dead_units.remove_dead_units(masks)
        ):
            np.testing.assert_array_equal(left, mask[np.ix_(before, after)])


def test_matrices_that_do_not_follow_each_other_are_refused():
    for shapes in ([], [(2, 3), (4, 2)], [(2, 3), (3,)], [(2,)]):
        with pytest.raises(ValueError, match="consecutive"):
            dead_units.remove_dead_units([np.ones(shape) for shape in shapes])


class LearnedState(keras.layers.Layer):
    """A loop whose state begins as a weight and then is none."""

    def build(self, shape):
        self.state = self.add_weight(name="state", shape=(4, 4))

    def call(self, x):
        _, state = tf.while_loop(
            lambda i, state: i < 3,
            lambda i, state: (i + 1, tf.matmul(x[0], state)),
            [0, tf.identity(self.state)],
            maximum_iterations=3,
        )
        return x + state


def test_a_learned_initial_state_is_no_kernel():
    model = keras.Sequential([keras.Input((4, 4)), LearnedState()])
    (layer,) = accounting.count(model).layers
    assert layer.other_multiplications == 3 * 4**3
    assert all(kernel.uses == 0 for kernel in layer.kernels)
