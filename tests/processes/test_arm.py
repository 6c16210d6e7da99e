"""Exported LiteRT files on an emulated ARM processor: outputs and ratios.

The control of a sparse file is the dense file with the same zeros, since an
emulated processor may multiply zeros faster. Ratios are of processor time.
"""

import importlib.util
import pathlib

import keras
import living
import numpy as np
import pytest

from rigl_tf import export
from rigl_tf.export import formats
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import inspection
from rigl_tf.export.litert import sparse_weights

pytest.importorskip("ai_edge_litert")

SCRIPT = (
    pathlib.Path(__file__).parents[2] / "scripts" / "benchmarks" / "emulated.py"
)
SIZE, UNITS = 32, 512
# Ratio to the control that a file surely has, and surely has not.
SPARSE, DENSE = 2.0, 1.3
# Name: padding, sparsity, precision, `ready_for`; what XNNPACK does with it.
CONVOLUTIONS = {
    "ready": ("each side", 0.9, "f32", "any", SPARSE),
    "too dense": ("each side", 0.5, "f32", "any", DENSE),
    "half precision": ("each side", 0.9, "f16", "any", SPARSE),
    "8 bits": ("each side", 0.9, "int8", "any", DENSE),
    "one-sided": ("same", 0.9, "f32", "any", DENSE),
    "turned": ("same", 0.9, "f32", "arm", SPARSE),
}
TOLERANCES = {"f32": 5e-5, "f16": 1e-2, "int8": 5e-2}
# Name of an encoding: weights of one unit that are switched together.
PRODUCTS = {"csr": 1, "1x4": 4}


@pytest.fixture(scope="module")
def emulated():
    """The module that runs files, or skip where there is nothing to run on."""
    spec = importlib.util.spec_from_file_location("emulated", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.python()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return module


def pair(directory, name, net, x, precision="f32", ready_for="any"):
    """Write a sparse file and its control; return their paths by name."""
    control = conversion.convert(net, signatures.of(net, 1), precision, [x])
    if ready_for == "arm":
        control = formats.ready_for_arm(control)
    sparse, _ = sparse_weights.encode(control)
    places = {}
    for key, data in ((name, sparse), (f"control of {name}", control)):
        places[key] = directory / f"{key}.tflite"
        places[key].write_bytes(data)
    return places


@pytest.fixture(scope="module")
def convolutions(emulated, tmp_path_factory):
    """Wanted outputs, reports, and what files of convolutions do on ARM."""
    directory = tmp_path_factory.mktemp("convolutions")
    x = living.images(8, SIZE)
    places, wanted, reports = {}, {}, {}
    for name, (padding, sparsity, *how, _) in CONVOLUTIONS.items():
        keras.utils.set_random_seed(0)
        net = living.small(padding, size=SIZE, widths=(32, 128, 256))
        net = living.sparse(net, sparsity, SIZE)
        places |= pair(directory, name, net, x, *how)
        wanted[name] = np.asarray(net(x))
        reports[name] = export.xnnpack_report(places[name])
    return wanted, reports, emulated.run(places, x)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_outputs_on_arm_are_those_of_keras(name, convolutions):
    wanted, _, found = convolutions
    assert found[name].error == ""
    *_, precision, _, _ = CONVOLUTIONS[name]
    largest = np.abs(wanted[name]).max()
    difference = np.abs(found[name].outputs - wanted[name]).max()
    assert difference <= TOLERANCES[precision] * largest
    # Another image gives something else.
    others = np.abs(found[name].outputs - wanted[name][::-1]).max()
    assert others > 2 * TOLERANCES[precision] * largest


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_report_says_what_is_measured(name, convolutions):
    _, reports, found = convolutions
    ratio = found[f"control of {name}"].seconds / found[name].seconds
    if CONVOLUTIONS[name][-1] == SPARSE:
        assert ratio >= SPARSE
        assert reports[name].engaged == reports[name].pointwise == 2
    else:
        assert 1 / DENSE <= ratio <= DENSE
        assert reports[name].engaged == 0


def test_means_that_keep_their_axes_cannot_be_loaded(emulated, tmp_path):
    net = living.small("each side", keepdims=True, size=SIZE)
    net = living.sparse(net, 0.9, SIZE)
    x = living.images(2, SIZE)
    places, reports = {}, {}
    for ready_for in ("any", "arm"):
        places[ready_for] = tmp_path / f"{ready_for}.tflite"
        reports[ready_for] = export.save(
            net, places[ready_for], "litert", examples=x, ready_for=ready_for
        )
    found = emulated.run(places, x, rounds=0)
    assert "failed to reshape" in found["any"].error
    assert any("cannot load" in text for _, text in reports["any"].arm.reasons)
    assert found["arm"].error == "" and reports["arm"].arm.engaged == 2
    wanted = np.asarray(net(x))
    np.testing.assert_allclose(
        found["arm"].outputs, wanted, rtol=0, atol=5e-5 * np.abs(wanted).max()
    )


def test_fully_connected_layers_are_faster_on_arm(emulated, tmp_path):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, UNITS)).astype(np.float32)
    places, wanted = {}, {}
    for encoding, block in PRODUCTS.items():
        layer = keras.layers.Dense(UNITS, use_bias=False)
        net = keras.Sequential([keras.Input((UNITS,)), layer])
        keep = generator.random((UNITS // block, UNITS)) < 0.05
        layer.kernel.assign(layer.kernel * keep.repeat(block, axis=0))
        places |= pair(tmp_path, encoding, net, x)
        text = "\n".join(inspection.lines(places[encoding].read_bytes()))
        assert encoding in text
        wanted[encoding] = np.asarray(net(x))
    found = emulated.run(places, x, rounds=9)
    for encoding in PRODUCTS:
        np.testing.assert_allclose(
            found[encoding].outputs, wanted[encoding], atol=1e-5
        )
        control = found[f"control of {encoding}"].seconds
        assert control >= SPARSE * found[encoding].seconds
