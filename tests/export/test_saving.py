"""Every format takes every kind of model, or says on one line why not."""

import json
import zipfile

import keras
import living
import numpy as np
import params
import pytest
import scipy.sparse
import tensorflow as tf

import rigl_tf
from rigl_tf import export
from rigl_tf import models
from rigl_tf.export import formats
from rigl_tf.export import model_cards
from rigl_tf.export import runners
from rigl_tf.export import saving
from rigl_tf.layers import model_paths

for package in ("ai_edge_litert", "tf2onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package)


def digits():
    net = models.mlp((8, 8, 1), 10, hidden=(64, 32))
    return rigl_tf.sparsify(net, 0.9)


def truly_sparse():
    net = models.mlp((64,), 10, hidden=(64, 32))
    return rigl_tf.sparsify(net, 0.9, "uniform", compute="sparse")


def blocks():
    net = models.mlp((64,), 8, hidden=(64, 32))
    return rigl_tf.sparsify(
        net, 0.9, "uniform", compute="block", pattern="block_4x4"
    )


def char_gru():
    net = models.char_gru((6,), 20, embedding=8, units=16, readouts=(12,))
    return rigl_tf.sparsify(net, 0.8, masked_layers=["gru", "logits"])


def transformer():
    layers = keras.layers
    x = inputs = keras.Input((8,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 16)(x)
    x = x + layers.MultiHeadAttention(2, 8)(x, x)
    x = layers.LayerNormalization()(x)
    x = x + layers.Dense(16)(layers.Dense(32, "gelu")(x))
    x = layers.Dense(5)(layers.GlobalAveragePooling1D()(x))
    return rigl_tf.sparsify(keras.Model(inputs, x), 0.8, "uniform")


def mobilenet_v1():
    net = models.mobilenet_v1((32, 32, 3), 10, width=0.25)
    return beginning(net, "block3_pointwise_relu")


def mobilenet_v2():
    net = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=10
    )
    return beginning(net, "block_2_add")


def beginning(net, layer):
    """Return the network up to a layer, sparse: each format converts it all.

    tests/export/test_xnnpack.py converts whole ones.
    """
    x = keras.layers.GlobalAveragePooling2D()(net.get_layer(layer).output)
    short = keras.Model(net.input, keras.layers.Dense(10)(x))
    return living.sparse(short, 0.8, 32)


KINDS = {
    "digits": digits,
    "truly sparse": truly_sparse,
    "blocks": blocks,
    "transformer": transformer,
    "char GRU": char_gru,
    "MobileNet-v1": mobilenet_v1,
    "MobileNet-v2": mobilenet_v2,
}
# What a converter refuses, and what it says.
REFUSED = {
    (
        "char GRU",
        "litert",
        "int8",
    ): "cannot convert networks with loops to int8",
}
WAYS = [
    (name, precision)
    for name, found in formats.FORMATS.items()
    for precision in found.precisions
]


def place_for(directory, name):
    return directory / f"model{formats.FORMATS[name].suffix}"


def inputs_of(model, n=8):
    generator = np.random.default_rng(5)
    found = []
    for tensor in model.inputs:
        shape = (n, *tensor.shape[1:])
        whole = "int" in tensor.dtype
        drawn = generator.integers(0, 20, shape)
        found.append(
            drawn.astype(np.int32)
            if whole
            else generator.standard_normal(shape).astype(np.float32)
        )
    return found


@pytest.mark.parametrize(
    "kind",
    params.cover(list(KINDS), quick=["digits", "truly sparse"]),
)
def test_every_format(kind, tmp_path):
    keras.utils.set_random_seed(1)
    model = KINDS[kind]()
    for variable in model.trainable_variables:  # biases begin with zeros
        if len(variable.shape) == 1 and variable.path.endswith("bias"):
            bias = keras.random.normal(variable.shape, stddev=0.01, seed=3)
            variable.assign(bias)
    inputs = inputs_of(model)
    wanted = runners.of_keras(model)(inputs)
    assert np.ptp(wanted[0], axis=0).max() > 0.05 * np.abs(wanted[0]).max()
    for name, precision in WAYS:
        directory = tmp_path / f"{name}-{precision}"
        place = place_for(directory, name)
        arguments = {
            "precision": precision,
            "examples": inputs,
            "calibration": inputs,
        }
        refusal = REFUSED.get((kind, name, precision))
        if refusal:
            with pytest.raises(ValueError, match=refusal) as caught:
                export.save(model, place, name, **arguments)
            assert "\n" not in str(caught.value)
            assert not directory.exists()
            continue
        report = export.save(model, place, name, **arguments)
        assert report.bytes > 0 and report.zeros > 0.1
        run = formats.FORMATS[name].run
        if run is None:
            continue
        found = run(place, report.inputs, 1)(inputs)
        largest = max(np.abs(array).max() for array in wanted)
        allowed = {"f32": 1e-4, "f16": 5e-2, "int8": 1}[precision] * largest
        for a, b in zip(found, wanted, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_allclose(a, b, rtol=0, atol=allowed)


def test_names_of_inputs_and_outputs(tmp_path):
    a, b = keras.Input((3,), name="left"), keras.Input((2,))
    net = keras.Model([a, b], keras.layers.Concatenate()([a, b]))
    report = export.save(net, tmp_path / "m", "tf_saved_model")
    assert report.inputs == ("left", "input")
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    served = loaded.signatures["serving_default"]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = served(left=x, input=x[:, :2])
    assert list(found) == ["output"]
    np.testing.assert_array_equal(found["output"], np.hstack([x, x[:, :2]]))


def test_inputs_in_a_dictionary(tmp_path):
    a, b = keras.Input((3,), name="b"), keras.Input((2,), name="a")
    net = keras.Model({"b": a, "a": b}, keras.layers.Concatenate()([a, b]))
    for name in ("tf_saved_model", "litert", "onnx"):
        place = place_for(tmp_path / name, name)
        assert export.save(net, place, name).max_difference < 1e-6


def test_weights_are_stored_once_in_saved_models(tmp_path):
    net = models.mlp((64,), 10, hidden=(512, 512))
    report = export.save(net, tmp_path / "m", "tf_saved_model")
    assert report.bytes < 1.1 * report.dense_bytes


def test_truly_sparse_layers_are_served_sparsely(tmp_path):
    layer = rigl_tf.sparse.SparseDense(2**15, n_active=5000, activation="relu")
    net = keras.Sequential(
        [keras.Input((2**15,)), layer, keras.layers.Dense(3)]
    )
    report = export.save(net, tmp_path / "m", "tf_saved_model")
    assert report.dense_bytes > 4 * 2**30 and report.bytes < 2**21
    with pytest.raises(ValueError, match="2^28|made dense up to"):
        export.save(net, tmp_path / "m.onnx", "onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_matrices_for_scipy(tmp_path):
    model = rigl_tf.strip(digits())
    export.save(model, tmp_path / "m", "scipy")
    matrix = scipy.sparse.load_npz(tmp_path / "m" / "fc1.kernel.npz")
    kernel = model_paths.variables_by_path(model)["fc1/kernel"].numpy()
    np.testing.assert_array_equal(matrix.toarray(), kernel)
    with np.load(tmp_path / "m" / "other.npz") as others:
        np.testing.assert_array_equal(
            others["fc1/bias"], model.get_layer("fc1").bias
        )


def test_what_is_there_is_replaced_and_otherwise_kept(tmp_path):
    first, second = digits(), digits()
    for name in ("keras", "tf_saved_model"):
        place = place_for(tmp_path / name, name)
        export.save(first, place, name)
        export.save(second, place, name)
    place = tmp_path / "m.tflite"
    place.write_bytes(b"mine")
    with pytest.raises(ValueError, match="needs a network that XNNPACK"):
        export.save(first, place, "litert", ready_for="arm")
    assert place.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "keras",
        "m.tflite",
        "tf_saved_model",
    ]


@pytest.mark.parametrize("format", ["tf_saved_model", "openvino", "scipy"])
def test_directories_of_others_are_never_replaced(format, tmp_path):
    precious = tmp_path / "thesis" / "chapter.tex"
    precious.parent.mkdir()
    precious.write_text("precious")
    with pytest.raises(ValueError, match="must be empty, or an.*chapter.tex"):
        export.save(digits(), tmp_path / "thesis", format)
    with pytest.raises(ValueError, match="must be that of a directory"):
        export.save(digits(), precious, format)
    (tmp_path / "m.keras").mkdir()
    with pytest.raises(ValueError, match="must be that of a file"):
        export.save(digits(), tmp_path / "m.keras", "keras")
    assert precious.read_text() == "precious"
    place = tmp_path / "model"
    place.mkdir()
    for _ in range(2):
        export.save(digits(), place, format)


def test_a_check_that_fails_leaves_nothing(tmp_path):
    def refuse(run):
        run([np.zeros((2, 8, 8, 1), np.float32)])
        raise ValueError("not good enough")

    with pytest.raises(ValueError, match="not good enough"):
        export.save(digits(), tmp_path / "m.keras", "keras", check=refuse)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "format", "arguments", "message"),
    [
        ("m.h5", "keras", {}, r"must be named \*\.keras\. Received: .*m\.h5"),
        ("m", "torch", {}, "`format` must be one of keras, tf_saved_model"),
        ("m.onnx", "onnx", {"precision": "f16"}, "`precision of onnx` must"),
        ("m.tflite", "litert", {"precision": "int8"}, "int8 needs `calibr"),
        ("m.tflite", "litert", {"batch": 0}, "`batch` must be at least 1"),
        ("m.keras", "keras", {"ready_for": "arm"}, "is for LiteRT files"),
        ("m.tflite", "litert", {"ready_for": "x86"}, "`ready_for` must be"),
    ],
)
def test_mistakes(path, format, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.save(digits(), tmp_path / path, format, **arguments)
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(runners.importlib.sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match="pip install tf2onnx"):
        export.save(digits(), tmp_path / "m.onnx", "onnx")
    with pytest.raises(TypeError, match="must be a Keras 3 model"):
        export.save("model", tmp_path / "m.keras", "keras")


def test_models_without_fixed_inputs_need_examples(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    net = Own()
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    net(x)
    with pytest.raises(ValueError, match="needs examples, which define"):
        export.save(net, tmp_path / "m.tflite", "litert")
    report = export.save(net, tmp_path / "m.tflite", "litert", examples=x)
    assert report.max_difference < 1e-5


def test_dead_networks_are_told(tmp_path):
    net = models.mlp((4,), 2, hidden=(3,))
    net.layers[1].kernel.assign(np.zeros((4, 3)))
    with pytest.warns(UserWarning, match="do not depend on its inputs"):
        export.save(net, tmp_path / "m.keras", "keras")


def test_cards(tmp_path):
    report = export.save(digits(), tmp_path / "m.keras", "keras")
    accuracy = model_cards.Accuracy(347, 360)
    result = {
        "task": "digits_mlp",
        "method": "rigl",
        "sparsity": 0.9,
        "settings": {"SPARSITY": 0.9, "models.mlp.width": 1},
        "inference_flops": 5432.0,
    }
    latencies = [{"format": "keras", "median_ms": 1.5}]
    text = model_cards.markdown(report, result, accuracy, latencies)
    for part in (
        "# digits_mlp, rigl, 90 % sparse",
        'keras.models.load_model("m.keras")',
        "0.9639 (347 of 360; 95 % interval 0.9392 to 0.9788)",
        "| FLOPs of an inference, zeros skipped | 5,432 |",
        "SPARSITY=0.9",
        "| keras | 1.5 |",
    ):
        assert part in text
    assert "models.mlp.width" not in text
    huggingface = pytest.importorskip("huggingface_hub")
    card = huggingface.ModelCard(text)
    assert card.data.library_name == "keras"
    (evaluated,) = card.data.eval_results
    assert evaluated.metric_value == pytest.approx(347 / 360, abs=1e-6)
    assert evaluated.metric_type == "accuracy"


def test_every_format_has_lines_of_code_in_its_card(tmp_path):
    report = export.save(digits(), tmp_path / "m.keras", "keras")
    for name in formats.FORMATS:
        other = saving.dataclasses.replace(report, format=name)
        code = model_cards.markdown(other).split("```python\n")[1]
        compile(code.split("```")[0], name, "exec")
    json.dumps(report.to_json())
    assert zipfile.is_zipfile(tmp_path / "m.keras")
