"""Sparse LiteRT files, read by rules of the format alone."""

import keras
import litert_reader
import living
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from rigl_tf import export
from rigl_tf import models
from rigl_tf.export import formats
from rigl_tf.export import runners
from rigl_tf.export import saved_model
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import inspection
from rigl_tf.export.litert import model_file
from rigl_tf.export.litert import sparse_weights

pytest.importorskip("ai_edge_litert")


def dense_file(kernel, batch=1):
    """Return a LiteRT file that multiplies by a kernel."""
    weights = tf.constant(kernel)

    @tf.function(
        input_signature=[tf.TensorSpec((batch, len(kernel)), tf.float32)]
    )
    def multiply(x):
        return tf.matmul(x, weights)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [multiply.get_concrete_function()]
    )
    return converter.convert()


def kernel_with(shape, n_active, seed=0):
    generator = np.random.default_rng(seed)
    kernel = np.zeros(shape, np.float32)
    places = generator.choice(kernel.size, n_active, replace=False)
    kernel.ravel()[places] = generator.uniform(0.5, 1, n_active)
    return kernel


def of_blocks(shape, n_blocks):
    """Return a kernel with blocks of four inputs of one output."""
    n_in, n_out = shape
    cut = kernel_with((n_in // 4, n_out), n_blocks)
    filled = np.random.default_rng(1).uniform(0.5, 1, shape)
    return np.where(cut.repeat(4, axis=0) != 0, filled, 0).astype(np.float32)


def run_file(data, tmp_path, x):
    place = tmp_path / "model.tflite"
    place.write_bytes(data)
    interpreter = runners.require(
        "ai_edge_litert.interpreter", "x"
    ).Interpreter(model_path=str(place), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


KERNELS = {
    "one weight": (kernel_with((12, 8), 1), "csr", np.uint8),
    "rows all zero": (kernel_with((16, 40), 30), "csr", np.uint8),
    "a full row": (np.eye(16, dtype=np.float32)[[3] * 16], "1x4", np.uint8),
    "more than 255 columns": (kernel_with((300, 8), 100), "csr", np.uint16),
    "more than 65,535 columns": (kernel_with((70_000, 2), 90), "csr", np.int32),
    "more than 255 weights": (kernel_with((64, 64), 400), "csr", np.uint8),
    "odd inputs": (kernel_with((13, 9), 20), "csr", np.uint8),
    "blocks": (of_blocks((32, 16), 20), "1x4", np.uint8),
}


@pytest.mark.parametrize("name", KERNELS)
def test_weights_are_read_back_bit_by_bit(name, tmp_path):
    kernel, encoding, index = KERNELS[name]
    data, (stored,) = sparse_weights.encode(dense_file(kernel))
    (read,) = litert_reader.weights(data).values()
    np.testing.assert_array_equal(read, kernel.T)
    assert (stored.encoding, stored.reaches_kernel) == (encoding, True)
    assert stored.zeros == pytest.approx(np.mean(kernel == 0))
    assert stored.bytes < stored.dense_bytes == kernel.nbytes
    x = np.random.default_rng(2).standard_normal((1, len(kernel)))
    np.testing.assert_allclose(
        run_file(data, tmp_path, x.astype(np.float32)), x @ kernel, atol=1e-4
    )
    columns = {
        np.asarray(axis.arrayIndices.values).dtype
        for graph in model_file.ModelFile(data).graphs
        for tensor in graph.tensors
        if tensor.sparsity
        for axis in tensor.sparsity.dimMetadata
        if axis.arrayIndices is not None
    }
    assert columns == {np.dtype(index)}


@pytest.mark.parametrize(
    ("n_active", "encoding"), [(41, "1x4"), (40, "1x4"), (39, "csr")]
)
def test_blocks_are_taken_if_half_full(n_active, encoding):
    """Of 20 blocks of four weights."""
    kernel = of_blocks((32, 16), 20)
    places = np.flatnonzero(kernel)
    blocks = (places // 16 // 4, places % 16)
    # One weight of each block stays, others go until so many are left.
    _, first = np.unique(np.stack(blocks), axis=1, return_index=True)
    others = np.delete(places, first)
    kernel.ravel()[others[n_active - 20 :]] = 0
    assert np.count_nonzero(kernel) == n_active
    _, (stored,) = sparse_weights.encode(dense_file(kernel))
    assert stored.encoding == encoding


def test_dense_weights_stay_dense():
    kernel = kernel_with((32, 32), 900)
    data = dense_file(kernel)
    encoded, stored = sparse_weights.encode(data)
    assert not stored and not litert_reader.weights(encoded)


def test_with_many_rows_single_weights_are_made_dense(tmp_path):
    kernel = kernel_with((64, 32), 100)
    data, (stored,) = sparse_weights.encode(dense_file(kernel, batch=5))
    assert not stored.reaches_kernel
    x = np.random.default_rng(2).standard_normal((5, 64)).astype(np.float32)
    found = run_file(data, tmp_path, x)
    np.testing.assert_allclose(found, x @ kernel, atol=1e-5)
    _, (stored,) = sparse_weights.encode(dense_file(kernel, batch=4))
    assert stored.reaches_kernel


def test_weights_that_are_used_twice_and_elsewhere(tmp_path):
    kernel = tf.constant(kernel_with((16, 16), 20))

    @tf.function(input_signature=[tf.TensorSpec((1, 16), tf.float32)])
    def twice(x):
        return tf.matmul(tf.matmul(x, kernel), kernel)

    @tf.function(input_signature=[tf.TensorSpec((1, 16), tf.float32)])
    def elsewhere(x):
        return tf.matmul(x, kernel) + tf.reduce_sum(kernel * x[0, 0])

    x = np.random.default_rng(0).standard_normal((1, 16)).astype(np.float32)
    for function in (twice, elsewhere):
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()]
        )
        data, _ = sparse_weights.encode(converter.convert())
        np.testing.assert_allclose(
            run_file(data, tmp_path, x), function(x), atol=1e-5
        )


def test_weights_that_others_read_stay_dense():
    data = dense_file(kernel_with((16, 16), 20))
    file = model_file.ModelFile(data)
    graph = file.graphs[0]
    weights = next(o for o in graph.operators).inputs[1]
    graph.outputs = np.append(graph.outputs, weights)
    assert len(sparse_weights.encode(data)[1]) == 1
    assert not sparse_weights.encode(file.encode())[1]


def mlp(sparsity=0.9, blocks=False):
    """Return a network like the digits task's, with random zeros."""
    net = models.mlp((64,), 10, hidden=(300, 100))
    generator = np.random.default_rng(0)
    for layer in net.layers[1:]:
        n_in, n_out = layer.kernel.shape
        keep = generator.random((n_in // 4, n_out)).repeat(4, axis=0) > sparsity
        if not blocks:
            keep = generator.random((n_in, n_out)) > sparsity
        layer.kernel.assign(layer.kernel.numpy() * keep)
        layer.bias.assign(generator.standard_normal(layer.bias.shape))
    return net


def shift_index(file, tensor):
    indices = tensor.sparsity.dimMetadata[-1].arrayIndices
    indices.values = indices.values.copy()
    indices.values[0] ^= 1


def swap_values(file, tensor):
    data = file.model.buffers[tensor.buffer].data.copy()
    data[:4], data[4:8] = data[4:8].copy(), data[:4].copy()
    file.model.buffers[tensor.buffer].data = data


def drop_segment(file, tensor):
    segments = tensor.sparsity.dimMetadata[-1].arraySegments
    segments.values = segments.values.copy()
    segments.values[1:-1] = segments.values[:-2]


@pytest.mark.parametrize("mutate", [shift_index, swap_values, drop_segment])
def test_wrongly_encoded_files_are_refused(mutate, tmp_path, monkeypatch):
    correct = sparse_weights.encode

    def wrong(data):
        data, stored = correct(data)
        file = model_file.ModelFile(data)
        sparse = [t for t in file.graphs[0].tensors if t.sparsity]
        mutate(file, sparse[0])
        return file.encode(), stored

    monkeypatch.setattr(formats.sparse_weights, "encode", wrong)
    with pytest.raises(ValueError, match="not give the outputs of the model"):
        export.save(mlp(), tmp_path / "m.tflite", "litert")
    assert not list(tmp_path.iterdir())


def test_the_converters_own_sparse_file_is_refused(tmp_path, monkeypatch):
    """It answers NaN for blocks: what the comparison is for."""

    def by_converter(model, signature, *_):
        place = tmp_path.with_name("saved")
        saved_model.write(place, model, signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(place))
        converter.optimizations = [
            tf.lite.Optimize.DEFAULT,
            tf.lite.Optimize.EXPERIMENTAL_SPARSITY,
        ]
        converter.target_spec.supported_types = [tf.float16]
        return converter.convert()

    monkeypatch.setattr(formats.conversion, "convert", by_converter)
    monkeypatch.setattr(formats.sparse_weights, "encode", lambda d: (d, []))
    with pytest.raises(ValueError, match="NaN or infinite"):
        export.save(
            mlp(0.95, blocks=True),
            tmp_path / "m.tflite",
            "litert",
            precision="f16",
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["f32", "f16", "int8"])
def test_sparse_and_dense_files_give_the_same(precision, tmp_path):
    net = living.sparse(living.small(), 0.9, 16)
    signature = signatures.of(net, 1)
    x = living.images(8, 16)
    data = conversion.convert(net, signature, precision, [x])
    encoded, stored = sparse_weights.encode(data)
    assert stored and len(encoded) < len(data)
    outputs = []
    for content in (data, encoded):
        (tmp_path / "m.tflite").write_bytes(content)
        outputs.append(
            runners.litert(tmp_path / "m.tflite", ["input"], 1)([x])[0]
        )
    largest = np.abs(outputs[0]).max()
    np.testing.assert_allclose(*outputs, rtol=0, atol=1e-6 * largest)
    assert np.ptp(outputs[0], axis=0).max() > 0.1 * largest


def test_zeros_of_quantized_weights_that_are_no_weights_of_zero():
    file = model_file.ModelFile(dense_file(kernel_with((16, 8), 10)))
    tensor = next(
        t for t in file.graphs[0].tensors if file.constant(t) is not None
    )
    values = np.zeros(tuple(tensor.shape), np.int8)
    tensor.type = schema.TensorType.INT8
    file.model.buffers[tensor.buffer].data = values.ravel().view(np.uint8)
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.zeroPoint = np.array([3])
    assert sparse_weights._values(file, tensor) is None
    tensor.quantization.zeroPoint = np.array([0])
    assert sparse_weights._values(file, tensor) is not None


def test_inspection_lists_what_is_stored(tmp_path):
    export.save(mlp(), tmp_path / "m.tflite", "litert")
    lines = inspection.lines((tmp_path / "m.tflite").read_bytes())
    assert "csr" in "\n".join(lines) and "300 x 64" in "\n".join(lines)
    assert lines[-1].startswith("There are no 1x1 convolutions")
    with pytest.raises(ValueError, match="TFL3"):
        inspection.lines(b"no file at all")


def test_keras_layers_of_any_kind_convert(tmp_path):
    """Loops hold weights that no layer shows."""
    net = keras.Sequential(
        [keras.Input((6, 8)), keras.layers.GRU(16), keras.layers.Dense(3)]
    )
    report = export.save(net, tmp_path / "m.tflite", "litert")
    assert report.max_difference < 1e-5
