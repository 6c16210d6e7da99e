"""What XNNPACK's sparse path takes, and networks turned so that it does."""

import keras
import living
import numpy as np
import params
import pytest

import rigl_tf
from rigl_tf import export
from rigl_tf import models
from rigl_tf.export import formats
from rigl_tf.export import runners
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import rotation
from rigl_tf.export.litert import sparse_weights
from rigl_tf.export.litert import xnnpack

pytest.importorskip("ai_edge_litert")


def dense_file(net, precision="f32"):
    return conversion.convert(net, signatures.of(net, 1), precision, None)


def judged(net, precision="f32"):
    data, _ = sparse_weights.encode(dense_file(net, precision))
    return xnnpack.judge(data)


@pytest.mark.parametrize(
    ("sparsity", "engaged"), [(0.6, 0), (0.65, 0), (0.68, 2), (0.9, 2)]
)
def test_more_than_two_thirds_must_be_zero(sparsity, engaged):
    net = living.small("each side")
    for layer in net.layers:
        if isinstance(layer, keras.layers.Conv2D) and (
            layer.kernel_size == (1, 1)
        ):
            kernel = np.ones(layer.kernel.shape, np.float32)
            kernel.ravel()[: round(sparsity * kernel.size)] = 0
            layer.kernel.assign(kernel)
    report = judged(net)
    assert (report.pointwise, report.engaged) == (2, engaged)
    if not engaged:
        ((count, reason),) = report.reasons
        assert count == 2 and "more than 2/3 are needed" in reason


@pytest.mark.slow
def test_what_keeps_a_network_from_running_sparsely():
    same = judged(living.sparse(living.small(), 0.9, 16))
    assert same.engaged == 0
    assert any("pads [(0, 1), (0, 1)]" in r for _, r in same.reasons)
    kept = judged(living.sparse(living.small("each side", True), 0.9, 16))
    assert any("keeps its axes" in reason for _, reason in kept.reasons)
    net = living.sparse(living.small("each side"), 0.9, 16)
    dense = xnnpack.judge(dense_file(net))
    assert dense.engaged == 0
    assert dense.reasons == ((2, "the weights are not stored sparsely"),)
    assert judged(net, "f16").engaged == 2
    inputs = keras.Input((8, 8, 16))
    mean = keras.layers.GlobalAveragePooling2D()
    head = mean(keras.layers.Conv2D(32, 1)(inputs))
    headless = rigl_tf.sparsify(keras.Model(inputs, head), 0.9)
    alone = judged(rigl_tf.strip(headless))
    assert alone.engaged == 0
    assert "begins at the input" in alone.reasons[0][1]


def test_int8_is_not_for_this_path():
    net = living.sparse(living.small("each side"), 0.9, 16)
    data = conversion.convert(
        net, signatures.of(net, 1), "int8", [living.images(8, 16)]
    )
    report = xnnpack.judge(sparse_weights.encode(data)[0])
    assert report.engaged == 0
    assert all("int8" in reason for _, reason in report.reasons)


def outputs(data, x, tmp_path):
    (tmp_path / "m.tflite").write_bytes(data)
    return runners.litert(tmp_path / "m.tflite", ["input"], 1)([x])[0]


@pytest.mark.parametrize("precision", ["f32", params.slow("f16")])
@pytest.mark.parametrize("keepdims", [False, True])
def test_turned_networks_give_the_same(keepdims, precision, tmp_path):
    net = living.sparse(living.small("same", keepdims), 0.9, 16)
    data = dense_file(net, precision)
    turned = formats.ready_for_arm(data)
    x = living.images(4, 16)
    before = outputs(data, x, tmp_path)
    largest = np.abs(before).max()
    found = outputs(turned, x, tmp_path)
    np.testing.assert_allclose(found, before, rtol=0, atol=5e-5 * largest)
    # It sees what is where: the image turned by hand gives something else.
    upside_down = outputs(turned, x[:, ::-1, ::-1], tmp_path)
    assert np.abs(upside_down - before).max() > 1e-2 * largest
    report = xnnpack.judge(sparse_weights.encode(turned)[0])
    assert report.engaged == 2


def test_networks_that_are_ready_are_not_turned():
    data = dense_file(living.sparse(living.small("each side"), 0.9, 16))
    ready = formats.ready_for_arm(data)
    file = rotation.model_file.ModelFile(ready)
    names = [file.name(operator) for operator in file.graphs[0].operators]
    assert "REVERSE_V2" not in names


@pytest.mark.parametrize("size", [13, 15, 18])
def test_any_size_is_turned_with_same_padding(size, tmp_path):
    net = living.sparse(living.small(size=size), 0.9, size)
    data = dense_file(net)
    x = living.images(4, size)
    before, found = (
        outputs(content, x, tmp_path)
        for content in (data, rotation.rotate(data))
    )
    largest = np.abs(before).max()
    np.testing.assert_allclose(found, before, rtol=0, atol=5e-5 * largest)


def test_pools_and_pads_are_turned_too(tmp_path):
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(((0, 1), (2, 1)))(inputs)
    x = layers.Conv2D(8, 3)(x)
    x = layers.MaxPooling2D(3, 2)(x)
    net = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    data = dense_file(net)
    x = living.images(4, 16)
    np.testing.assert_allclose(
        outputs(rotation.rotate(data), x, tmp_path),
        outputs(data, x, tmp_path),
        atol=1e-6,
    )


def test_windows_that_would_see_other_rows_are_refused():
    layers = keras.layers
    for layer in (layers.Conv2D(8, 1, 2), layers.Conv2D(8, 3, 2)):
        head = layers.GlobalAveragePooling2D()
        net = keras.Sequential([keras.Input((16, 16, 3)), layer, head])
        with pytest.raises(ValueError, match="see the same rows.*16 x 16"):
            rotation.rotate(dense_file(net))
    with pytest.raises(ValueError, match="needs a network"):
        formats.ready_for_arm(dense_file(net))
    with pytest.raises(ValueError, match="Networks of images can be turned"):
        rotation.rotate(dense_file(models.mlp((8,), 2, hidden=(4,))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "plain", "ready"),
    [
        (models.mobilenet_v1, 13, 13),
        (models.mobilenet_v2, 34, 34),
        ("MobileNet", 0, 13),
        ("MobileNetV2", 0, 34),
    ],
    ids=["v1", "v2", "keras v1", "keras v2"],
)
def test_mobilenets(build, plain, ready, tmp_path):
    """The counts are those that XNNPACK engaged in a measurement on ARM."""
    if isinstance(build, str):
        net = getattr(keras.applications, build)(
            (96, 96, 3),
            alpha=0.5,
            weights=None,
            classes=10,
            classifier_activation=None,
        )
    else:
        net = build((96, 96, 3), 10, width=0.5)
    net = living.sparse(net, 0.9, 96)
    data = dense_file(net)
    x = living.images(2, 96)
    wanted = np.asarray(net(x))
    for content, engaged in (
        (data, plain),
        (formats.ready_for_arm(data), ready),
    ):
        encoded, _ = sparse_weights.encode(content)
        assert xnnpack.judge(encoded).engaged == engaged
        found = outputs(encoded, x, tmp_path)
        largest = np.abs(wanted).max()
        assert np.abs(found - wanted).max() < 5e-5 * largest
    assert export.XnnpackReport(0, 0, ()).lines()[0].startswith("There are no")
