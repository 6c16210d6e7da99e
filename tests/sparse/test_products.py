"""Products of sparse layers equal float64 NumPy, in every way."""

import numpy as np
import pytest
import sparse_layers
import tensorflow as tf

from rigl_tf.sparse import products
from rigl_tf.sparse import structures

# Batches that end within a vector, a tile; shapes that end within a block.
SHAPES = [
    (1, 5, 3),
    (7, 33, 17),
    (100, 84, 130),
    (257, 31, 65),
    (64, 1, 40),
    (130, 40, 1),
]
EVERY_WAY = pytest.mark.parametrize(
    "backend, instructions", sparse_layers.every_way()
)


def results(x, dy, values, where):
    """Return the product and its two gradients."""
    x, values = tf.constant(x), tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch([x, values])
        y = products.matmul(x, values, where)
    return y, *tape.gradient(y, [x, values], tf.constant(dy))


def drawn(batch, shape, density):
    generator = np.random.default_rng(batch)
    flat = sparse_layers.positions(generator, shape, density)
    x = generator.normal(size=(batch, shape[0])).astype(np.float32)
    dy = generator.normal(size=(batch, shape[1])).astype(np.float32)
    values = generator.normal(size=len(flat)).astype(np.float32)
    return x, dy, values, flat


@EVERY_WAY
@pytest.mark.parametrize("density", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("batch, n_in, n_out", SHAPES)
def test_products_are_those_of_the_dense_kernel(
    batch, n_in, n_out, density, backend, instructions
):
    shape = (n_in, n_out)
    x, dy, values, flat = drawn(batch, shape, density)
    kernel = sparse_layers.dense(shape, flat, values)
    with sparse_layers.way(backend, instructions):
        y, dx, dvalues = results(
            x, dy, values, structures.structure_of(flat, shape)
        )
    gradient = x.T.astype(np.float64) @ dy
    np.testing.assert_allclose(y, x @ kernel, atol=2e-4)
    np.testing.assert_allclose(dx, dy @ kernel.T, atol=2e-4)
    np.testing.assert_allclose(dvalues, gradient.ravel()[flat], atol=2e-4)


@EVERY_WAY
def test_an_empty_batch_has_empty_products(backend, instructions):
    shape = (6, 5)
    x, dy, values, flat = drawn(0, shape, 0.3)
    with sparse_layers.way(backend, instructions):
        y, dx, dvalues = results(
            x, dy, values, structures.structure_of(flat, shape)
        )
    assert y.shape == (0, 5) and dx.shape == (0, 6)
    np.testing.assert_array_equal(dvalues, np.zeros(len(flat)))


@pytest.mark.parametrize("backend", sparse_layers.BACKENDS)
def test_shapes_are_known_in_graphs(backend):
    where = structures.structure_of(np.array([0, 7, 11]), (4, 3))
    values = tf.ones([3])

    @tf.function
    def product(x):
        y = products.matmul(x, values, where)
        assert y.shape.as_list() == [None, 3]
        (dx,) = tf.gradients(y, x)
        assert dx.shape.as_list() == [None, 4]
        return y

    with sparse_layers.backend(backend):
        product.get_concrete_function(tf.TensorSpec([None, 4]))


def test_what_nobody_needs_is_not_computed():
    where = structures.structure_of(np.array([0, 7, 11]), (4, 3))

    @tf.function
    def gradient(x, values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(products.matmul(x, values, where) ** 2)
        return tape.gradient(loss, values)

    with sparse_layers.backend("op"):
        arguments = tf.ones([2, 4]), tf.ones([3])
        graph = gradient.get_concrete_function(*arguments).graph
    # The gradient of the inputs is an operation of its own: it is pruned.
    needed, open_ends = set(), [tensor.op for tensor in graph.outputs]
    while open_ends:
        operation = open_ends.pop()
        if operation not in needed:
            needed.add(operation)
            open_ends += [tensor.op for tensor in operation.inputs]
    types = [operation.type for operation in needed]
    assert types.count("RiglSparseMultiply") == 1
    expected = tf.constant([4.0, 4.0, 4.0])
    np.testing.assert_allclose(gradient(*arguments), expected)


def test_positions_follow_from_rows_and_columns():
    generator = np.random.default_rng(1)
    shape = (9, 14)
    flat = sparse_layers.positions(generator, shape, 0.2)
    where = structures.structure_of(flat, shape)
    assert where.shape == shape
    np.testing.assert_array_equal(where.positions(), flat)
    rows, columns = np.divmod(flat, 14)
    by_columns = np.lexsort((rows, columns))
    np.testing.assert_array_equal(where.order, by_columns)
    np.testing.assert_array_equal(where.rows, rows[by_columns])
    counts = np.diff(where.column_starts)
    np.testing.assert_array_equal(counts, np.bincount(columns, minlength=14))
