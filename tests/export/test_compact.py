import zlib

import keras
import numpy as np
import pytest
import safetensors.numpy

import rigl_tf
from rigl_tf import archives
from rigl_tf import export
from rigl_tf import files
from rigl_tf import models
from rigl_tf.export import compact
from rigl_tf.export import compact_reader
from rigl_tf.export import tensor_file
from rigl_tf.layers import model_paths


def bits(model):
    return {
        path: variable.numpy().tobytes()
        for path, variable in model_paths.variables_by_path(model).items()
    }


def by_numpy(tensors, path):
    """Read a kernel from the tensors of a file as the documents say."""
    shape = tensors[f"{path}.shape"]
    array = np.zeros(shape, tensors[f"{path}.compressed"].dtype)
    if f"{path}.bitmask" in tensors:
        packed = tensors[f"{path}.bitmask"]
        mask = np.unpackbits(
            packed, axis=-1, count=shape[-1], bitorder="little"
        )
        array[mask.astype(bool)] = tensors[f"{path}.compressed"]
        return array
    starts = tensors[f"{path}.row_starts"]
    for row in range(shape[0]):
        part = slice(starts[row], starts[row + 1])
        columns = tensors[f"{path}.columns"][part]
        array[row, columns] = tensors[f"{path}.compressed"][part]
    return array


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_a_loaded_model_has_all_bits(dtype, tmp_path):
    keras.config.set_dtype_policy(dtype)
    try:
        model = rigl_tf.sparsify(models.lenet5((28, 28, 1), 10), 0.9)
        plain, other = rigl_tf.strip(model), models.lenet5((28, 28, 1), 10)
        export.save_compact(tmp_path / "w.safetensors", plain)
        export.load_compact(tmp_path / "w.safetensors", other)
    finally:
        keras.config.set_dtype_policy("float32")
    assert bits(other) == bits(plain)


def test_negative_zeros_and_nan_payloads_are_kept(tmp_path):
    model = models.mlp((20,), 4, hidden=(64,))
    kernel = model.layers[-1].kernel
    array = np.zeros(kernel.shape, np.float32)
    array[0, 1] = -0.0
    array.view(np.uint32)[5, 2] = 0x7FC01234
    array[7, 3] = np.float32(1e-45)
    kernel.assign(array)
    before = bits(model)
    export.save_compact(tmp_path / "w.safetensors", model)
    kernel.assign(array + 1)
    export.load_compact(tmp_path / "w.safetensors", model)
    assert bits(model) == before


def test_stripped_models_have_positive_zeros():
    model = rigl_tf.sparsify(
        keras.Sequential([keras.Input((20,)), keras.layers.Dense(64)]), 0.9
    )
    kernel = rigl_tf.strip(model).layers[-1].kernel.numpy()
    assert not np.signbit(kernel[kernel == 0]).any()


def test_numpy_and_safetensors_read_the_file(tmp_path):
    model = rigl_tf.strip(rigl_tf.sparsify(models.mlp((28, 28), 10), 0.95))
    export.save_compact(tmp_path / "w.safetensors", model)
    tensors = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    for path, variable in model_paths.variables_by_path(model).items():
        read = tensors[path] if path in tensors else by_numpy(tensors, path)
        np.testing.assert_array_equal(read, variable.numpy())
    assert "fc1/kernel" not in tensors


def test_the_file_is_as_small_as_the_bit_mask_rule(tmp_path):
    model = rigl_tf.sparsify(models.mlp((28, 28, 1), 10), 0.98)
    export.save_compact(tmp_path / "w.safetensors", model)
    n_bytes = rigl_tf.count(model).bytes
    size = (tmp_path / "w.safetensors").stat().st_size
    assert n_bytes < size < n_bytes + 3000  # names, shapes and checksums


@pytest.mark.parametrize(
    ("sparsity", "pattern", "compute", "form"),
    [
        (0.99, "unstructured", "sparse", "row_starts"),
        (0.9, "unstructured", "sparse", "bitmask"),
        (0.9, "block_4x4", "block", "bitmask"),
    ],
)
def test_truly_sparse_layers(sparsity, pattern, compute, form, tmp_path):
    def net():
        return rigl_tf.sparsify(
            models.mlp((64,), 8, hidden=(128, 16)),
            sparsity,
            "uniform",
            dense_layers=["fc3"],
            pattern=pattern,
            compute=compute,
        )

    keras.utils.set_random_seed(1)
    model, path = net(), tmp_path / "w.safetensors"
    wanted = rigl_tf.strip(model)
    export.save_compact(path, model)
    tensors = safetensors.numpy.load_file(path)
    assert f"fc1/kernel.{form}" in tensors
    np.testing.assert_array_equal(
        by_numpy(tensors, "fc1/kernel"), wanted.get_layer("fc1").kernel
    )
    keras.utils.set_random_seed(2)
    sparse, dense = net(), models.mlp((64,), 8, hidden=(128, 16))
    export.load_compact(path, sparse)
    export.load_compact(path, dense)
    assert bits(rigl_tf.strip(sparse)) == bits(wanted) == bits(dense)


def test_a_large_sparse_layer_is_never_dense(tmp_path):
    size = 2**17  # 2^34 positions
    layer = rigl_tf.sparse.SparseDense(size, n_active=1000)
    model = keras.Sequential([keras.Input((size,)), layer])
    export.save_compact(tmp_path / "w.safetensors", model)
    assert (tmp_path / "w.safetensors").stat().st_size < 3 * 2**20
    before = layer.matrix()
    layer.values.assign(layer.values * 0)
    export.load_compact(tmp_path / "w.safetensors", model)
    assert (layer.matrix() != before).nnz == 0


@pytest.mark.parametrize("values", ["float16", "bfloat16"])
def test_half_precision(values, tmp_path):
    model = rigl_tf.strip(rigl_tf.sparsify(models.mlp((64,), 10), 0.9))
    whole, half = tmp_path / "w.safetensors", tmp_path / "h.safetensors"
    export.save_compact(whole, model)
    export.save_compact(half, model, values=values)
    assert half.stat().st_size < 0.75 * whole.stat().st_size
    other = models.mlp((64,), 10)
    export.load_compact(half, other)
    dtype = compact_reader.HALF[values]
    for a, b in zip(model.weights, other.weights):
        rounded = a.numpy()
        if rounded.ndim > 1:
            rounded = rounded.astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(b.numpy(), rounded)


def test_values_beyond_float16_are_refused(tmp_path):
    model = models.mlp((4,), 2, hidden=(3,))
    model.layers[-1].kernel.assign(np.full((3, 2), 1e6))
    with pytest.raises(ValueError, match="range of float16.*1000000.*fc2/ker"):
        export.save_compact(tmp_path / "w.safetensors", model, "float16")
    assert not list(tmp_path.iterdir())


def test_compressed_files(tmp_path):
    model = rigl_tf.strip(rigl_tf.sparsify(models.mlp((64,), 10), 0.95))
    raw, small = tmp_path / "w.safetensors", tmp_path / "w.safetensors.zst"
    export.save_compact(raw, model)
    export.save_compact(small, model)
    assert small.stat().st_size < 0.9 * raw.stat().st_size
    other = models.mlp((64,), 10)
    export.load_compact(small, other)
    assert bits(other) == bits(model)
    small.write_bytes(small.read_bytes()[:-9])
    with pytest.raises(files.DamagedFile, match="zstd cannot read it"):
        export.load_compact(small, other)


def test_seed_states_and_scalars_are_kept(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    )
    before = bits(model)
    export.save_compact(tmp_path / "w.safetensors", model)
    export.load_compact(tmp_path / "w.safetensors", model)
    assert bits(model) == before


def test_every_changed_byte_is_found(tmp_path):
    """A byte of the file is changed: an error, or the same weights."""
    path = tmp_path / "w.safetensors"
    model = models.mlp((8,), 2, hidden=(16,))
    model.layers[1].kernel.assign(np.eye(8, 16))
    export.save_compact(path, model)
    data, before = path.read_bytes(), bits(model)
    n_refused = 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            export.load_compact(path, model)
        except files.DamagedFile:
            n_refused += 1
        assert bits(model) == before
    assert n_refused > 0.95 * len(data)


def test_damage_names_the_tensor(tmp_path):
    path = tmp_path / "w.safetensors"
    model = models.mlp((8,), 2, hidden=(16,))
    export.save_compact(path, model)
    data = path.read_bytes()
    with pytest.raises(files.DamagedFile, match="inside of 'fc2/bias'"):
        path.write_bytes(data[:-3])
        export.load_compact(path, model)
    with pytest.raises(files.DamagedFile, match="'fc2/bias' with a wrong ch"):
        path.write_bytes(data[:-3] + b"abc")
        export.load_compact(path, model)
    with pytest.raises(files.DamagedFile, match="3 bytes after"):
        path.write_bytes(data + b"abc")
        export.load_compact(path, model)
    for junk in (b"", b"PK", b"\xff" * 100, bytes(100)):
        path.write_bytes(junk)
        with pytest.raises(files.DamagedFile, match="no safetensors file|head"):
            export.load_compact(path, model)


def forged(path, tensors):
    metadata = {"format": "rigl_tf-sparse/1"}
    path.write_bytes(tensor_file.encode(tensors, metadata))


def test_other_models_are_refused_unchanged(tmp_path):
    path = tmp_path / "w.safetensors"
    model = models.mlp((8,), 2, hidden=(16,))
    before = bits(model)
    good = compact.entries(rigl_tf.strip(rigl_tf.sparsify(model, 0.8)))
    for change, message in (
        ({"fc9/kernel": np.ones(1)}, "a model without the variable 'fc9/ker"),
        ({"fc2/bias": np.ones(3, "f4")}, r"shape \(3,\), not \(2,\)"),
        ({"fc2/bias": np.ones(2, "f8")}, "type float64, not float32"),
        ({"fc1/kernel.shape": np.array([16, 8])}, "shape .* instead of"),
        ({"fc1/kernel.compressed": np.ones(5, "f4")}, r"shape \(5,\), not"),
        ({"fc1/kernel.bitmask": np.ones((8, 3), "u1")}, r"\(8, 3\), not"),
    ):
        forged(path, good | change)
        with pytest.raises(files.DamagedFile, match=message):
            export.load_compact(path, model)
    good.pop("fc2/bias")
    forged(path, good)
    with pytest.raises(files.DamagedFile, match="a file without .*'fc2/bias'"):
        export.load_compact(path, model)
    path.write_bytes(tensor_file.encode(good, {"format": "other"}))
    with pytest.raises(files.DamagedFile, match="metadata"):
        export.load_compact(path, model)
    assert bits(model) == before


def test_other_numbers_of_connections_are_refused(tmp_path):
    def net(n):
        layer = rigl_tf.sparse.SparseDense(32, n_active=n, name="wide")
        return keras.Sequential([keras.Input((16,)), layer])

    export.save_compact(tmp_path / "w.safetensors", net(20))
    with pytest.raises(files.DamagedFile, match="21 connections.*has 20"):
        export.load_compact(tmp_path / "w.safetensors", net(21))


def test_masked_models_and_wrong_names_are_refused(tmp_path):
    model = rigl_tf.sparsify(models.mlp((8,), 2), 0.5)
    export.save_compact(tmp_path / "w.safetensors", model)  # stripped first
    with pytest.raises(ValueError, match="give `rigl_tf.strip"):
        export.load_compact(tmp_path / "w.safetensors", model)
    with pytest.raises(ValueError, match=r"must be named \*.safetensors"):
        export.save_compact(tmp_path / "w.npz", model)
    with pytest.raises(ValueError, match="`values` must be one of"):
        export.save_compact(tmp_path / "w.safetensors", model, values="int8")


def test_files_of_earlier_versions_are_read(tmp_path):
    model = models.mlp((8,), 2, hidden=(16,))
    wanted = rigl_tf.strip(rigl_tf.sparsify(model, 0.8))
    entries = {}
    for path, variable in model_paths.variables_by_path(wanted).items():
        array = variable.numpy()
        if array.ndim < 2:
            entries[f"array:{path}"] = array
            continue
        entries[f"bits:{path}"] = np.packbits(array != 0)
        entries[f"shape:{path}"] = np.array(array.shape, np.int64)
        entries[f"values:{path}"] = array[array != 0]
    archives.write(tmp_path / "packed.npz", entries)
    export.load_compact(tmp_path / "packed.npz", model)
    assert bits(model) == bits(wanted)
    with pytest.raises(files.DamagedFile, match="a file without the variable"):
        export.load_compact(
            tmp_path / "packed.npz", models.mlp((8,), 2, hidden=(16, 4))
        )


def test_checksums_are_of_the_stored_bytes():
    data = tensor_file.encode({"a": np.arange(3, dtype="<i4")}, {})
    crc = zlib.crc32(b"\0\0\0\0\1\0\0\0\2\0\0\0")
    assert f'"crc32:a":"{crc}"'.encode() in data


def test_another_package_reads_the_file(tmp_path):
    """Its later versions dropped this format, so 0.14.0 is compared with."""
    compressors = pytest.importorskip(
        "compressed_tensors.compressors", exc_type=ImportError
    )
    config = pytest.importorskip("compressed_tensors.config")
    model = rigl_tf.strip(rigl_tf.sparsify(models.lenet5((28, 28, 1), 10), 0.9))
    export.save_compact(tmp_path / "w.safetensors", model)
    compressor = compressors.BitmaskCompressor(config=config.BitmaskConfig())
    found = dict(compressor.decompress(str(tmp_path / "w.safetensors")))
    variables = model_paths.variables_by_path(model)
    sparse = [path for path in variables if f"{path}.weight" in found]
    assert len(sparse) >= 4
    for path in sparse:
        np.testing.assert_array_equal(
            found[f"{path}.weight"].numpy(), variables[path].numpy()
        )
