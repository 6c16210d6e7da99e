import math

import keras
import numpy as np
import params
import pytest
import tensorflow as tf

from rigl_tf import models
from rigl_tf.layers import candidates
from rigl_tf.layers import masking
from rigl_tf.masks import counts

IMAGE = (224, 224, 3)
CIFAR = (32, 32, 3)


def sizes(model):
    """Return the numbers of trainable and of maskable weights."""
    found = candidates.maskable_kernels(model).values()
    return tuple(
        sum(math.prod(v.shape) for v in variables)
        for variables in (model.trainable_variables, found)
    )


@pytest.mark.parametrize(
    "build, n_parameters, n_kernel_weights",
    [(models.mlp, 266_610, 266_200), (models.lenet5, 44_426, 44_190)],
)
def test_sizes_are_the_published_ones(build, n_parameters, n_kernel_weights):
    model = build((28, 28, 1), 10)
    assert sizes(model) == (n_parameters, n_kernel_weights)
    assert model(np.zeros((2, 28, 28, 1))).shape == (2, 10)


@pytest.mark.parametrize(
    "depth, n_parameters",
    [
        (18, 11_693_736),
        params.slow((34, 21_801_896)),
        params.slow((50, 25_557_032)),
        params.slow((200, 64_673_832)),
    ],
)
def test_resnets_have_the_sizes_of_the_original(depth, n_parameters):
    model = models.resnet(IMAGE, 1000, depth=depth)
    assert sizes(model)[0] == n_parameters
    assert model.output_shape == (None, 1000)


@pytest.mark.slow
def test_resnet50_has_the_kernels_of_the_original():
    model = models.resnet(IMAGE, 1000)
    found = candidates.maskable_kernels(model)
    assert len(found) == 54
    assert sizes(model)[1] == 25_502_912
    assert found["group2_block1_conv2/kernel"].shape == (3, 3, 128, 128)
    assert model.get_layer("group2_block1_conv1").strides == (1, 1)
    assert model.get_layer("group2_block1_conv2").strides == (2, 2)


SIZES = {
    # The first convolution, of 864 weights, is masked unless asked.
    "v1": (lambda: models.mobilenet_v1(IMAGE, 1000), (4_231_976, 4_164_448)),
    "v2": (lambda: models.mobilenet_v2(IMAGE, 1000), (3_504_872, 3_405_536)),
    "vgg_a": (lambda: models.vgg(IMAGE, 1000, variant="a"), (9_729_728,) * 2),
    "vgg_16": (lambda: models.vgg(IMAGE, 1000), (15_222_464,) * 2),
    "vgg_19": (lambda: models.vgg(IMAGE, 1000, variant=19), (20_530_880,) * 2),
    "wrn22": (lambda: models.wide_resnet(CIFAR, 10), (1_079_642, 1_076_912)),
    "wrn16": (
        lambda: models.wide_resnet(CIFAR, 10, depth=16, width=4),
        (2_748_890, 2_745_264),
    ),
    "gru": (lambda: models.char_gru((None,)), (1_216_128, 1_179_648)),
}


@pytest.mark.parametrize("name", SIZES)
def test_models_have_the_sizes_of_the_original(name):
    model, expected = SIZES[name]
    assert sizes(model()) == expected


def test_a_cifar_stem_keeps_the_image():
    model = models.resnet(CIFAR, 100, stem="cifar")
    assert model.get_layer("group1_block1_conv1").output.shape[1:3] == (32, 32)
    assert model.get_layer("conv1").kernel.shape == (3, 3, 3, 64)


BUILDERS = {
    "mlp": lambda w: models.mlp((28, 28, 1), 10, width=w),
    "lenet5": lambda w: models.lenet5((28, 28, 1), 10, width=w),
    "resnet": lambda w: models.resnet((64, 64, 3), 10, depth=18, width=w),
    "v1": lambda w: models.mobilenet_v1((64, 64, 3), 10, width=w),
    "v2": lambda w: models.mobilenet_v2((64, 64, 3), 10, width=w),
    "vgg": lambda w: models.vgg((64, 64, 3), 10, variant="a", width=w),
    "wrn": lambda w: models.wide_resnet(CIFAR, 10, depth=10, width=w),
    "gru": lambda w: models.char_gru((None,), width=w),
}


@pytest.mark.parametrize(
    "name", params.cover(list(BUILDERS), quick=["wrn", "v1"])
)
def test_width_multiplies_channels(name):
    half, full = sizes(BUILDERS[name](0.5))[0], sizes(BUILDERS[name](1))[0]
    assert 0.2 < half / full < 0.75
    for width in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`width` must be above 0"):
            BUILDERS[name](width)
    with pytest.raises(TypeError, match="`width` must be a number"):
        BUILDERS[name]("1")


def test_mobilenet_rounds_channels_to_multiples_of_eight():
    model = models.mobilenet_v1((64, 64, 3), 10, width=0.47)
    channels = [la.filters for la in model.layers if hasattr(la, "filters")]
    # 32 * 0.47 = 15.04 -> 16; the first pointwise: int(30.08), as it is.
    assert channels[:4] == [16, 30, 64, 64]
    assert channels[-1] == 480  # int(481.28)


def test_the_first_block_of_a_mobilenet_is_not_rounded():
    model = models.mobilenet_v2((64, 64, 3), 10, width=0.9)
    assert model.get_layer("block1_contract").filters == 14
    assert model.get_layer("block2_contract").filters == 24  # int(21.6) -> 24


@pytest.mark.parametrize("variant", ["resnet", "wrn"])
def test_models_of_one_seed_are_equal_and_layers_are_not(variant):
    def build():
        keras.utils.set_random_seed(3)
        return BUILDERS[variant](1)

    first, second = build(), build()
    for a, b in zip(first.weights, second.weights):
        np.testing.assert_array_equal(a, b)
    found = candidates.maskable_kernels(first)
    a = found["group2_block1_conv2/kernel"].numpy()
    b = found["group3_block1_conv1/kernel"].numpy()
    assert not np.array_equal(a.ravel()[:100], b.ravel()[:100])


@pytest.mark.slow
def test_resnet_is_initialised_as_the_original():
    keras.utils.set_random_seed(0)
    model = models.resnet((64, 64, 3), 1000)
    kernel = model.get_layer("group4_block2_conv2").kernel.numpy()
    assert kernel.std() == pytest.approx(math.sqrt(1 / (9 * 512)), rel=0.01)
    assert np.std(model.get_layer("fc").kernel) == pytest.approx(0.01, rel=0.01)
    last = model.get_layer("group1_block1_conv3_bn")
    assert not np.any(last.gamma)
    assert np.all(model.get_layer("group1_block1_conv2_bn").gamma == 1)
    assert last.momentum == 0.9 and last.epsilon == 1e-5
    ones = models.resnet((64, 64, 3), 10, depth=18, zero_gamma=False)
    assert np.all(ones.get_layer("group1_block1_conv2_bn").gamma == 1)


@pytest.mark.slow
def test_mobilenets_and_wide_resnets_are_initialised_as_the_original():
    keras.utils.set_random_seed(0)
    for name in ("v1", "v2"):
        kernel = BUILDERS[name](1).get_layer("fc").kernel.numpy()
        expected = math.sqrt(1 / kernel.shape[0])
        assert kernel.std() == pytest.approx(expected, rel=0.02)
    model = BUILDERS["wrn"](8)
    kernel = model.get_layer("group3_block1_conv2").kernel.numpy()
    assert np.abs(kernel).max() == pytest.approx(
        math.sqrt(6 / (9 * 512 * 2)), rel=0.01
    )
    assert model.get_layer("group2_block1_conv1").padding == "same"


def test_vgg_is_initialised_with_twice_the_variance():
    keras.utils.set_random_seed(0)
    model = BUILDERS["vgg"](1)
    kernel = model.get_layer("block5_conv2").kernel.numpy()
    assert kernel.std() == pytest.approx(math.sqrt(2 / (9 * 512)), rel=0.01)
    kernel = model.get_layer("fc").kernel.numpy()
    assert kernel.std() == pytest.approx(math.sqrt(2 / 512), rel=0.03)


def test_strided_convolutions_pad_alike_on_both_sides():
    model = models.resnet((64, 64, 3), 10, depth=18)
    assert model.get_layer("group2_block1_conv1_pad").padding == ((1, 1),) * 2
    assert model.get_layer("conv1_pad").padding == ((3, 3),) * 2
    same = models.resnet((64, 64, 3), 10, depth=18, symmetric_padding=False)
    assert same.get_layer("group2_block1_conv1").padding == "same"
    assert same.get_layer("conv1_pad").padding == ((3, 3),) * 2


def test_the_language_model_predicts_every_character():
    model = models.char_gru((None,), width=0.1)
    text = tf.constant([[1, 2, 3, 4], [5, 6, 7, 8]])
    before = tf.zeros((2, model.inputs[1].shape[1]))
    logits, after = model([text, before])
    assert logits.shape == (2, 4, 256)
    assert after.shape == before.shape
    # The state is all that is known of what went before.
    _, middle = model([text[:, :2], before])
    later, _ = model([text[:, 2:], middle])
    np.testing.assert_allclose(later, logits[:, 2:], atol=1e-6)


@pytest.mark.parametrize(
    "build, text",
    [
        (lambda: models.resnet(IMAGE, 10, depth=49), "`depth` must be one of"),
        (lambda: models.resnet(IMAGE, 10, stem="x"), "`stem` must be one of"),
        (lambda: models.vgg(IMAGE, 10, variant="b"), "`variant` must be one"),
        (lambda: models.wide_resnet(CIFAR, 10, depth=21), "6 n \\+ 4"),
        (lambda: models.wide_resnet(CIFAR, 10, depth=4), "6 n \\+ 4"),
    ],
)
def test_bad_options_are_refused(build, text):
    with pytest.raises(ValueError, match=text):
        build()


def test_kernels_have_readable_names():
    names = list(candidates.maskable_kernels(models.lenet5((28, 28, 1), 10)))
    assert names == [
        "conv1/kernel",
        "conv2/kernel",
        "fc1/kernel",
        "fc2/kernel",
        "fc3/kernel",
    ]


# Weights that survive, by the distributions of the original code: appendix of
# its facts, uniform / ER / ERK.
@pytest.mark.parametrize(
    "model, dense_layers, sparsity, expected",
    [
        (
            lambda: models.wide_resnet(CIFAR, 10),
            ["conv1/kernel"],
            0.8,
            (215_308, 215_323, 215_314),
        ),
        params.slow(
            (
                lambda: models.resnet(IMAGE, 1000),
                [],
                0.9,
                (2_550_318, 2_550_336, 2_550_353),
            )
        ),
        (
            lambda: models.resnet(IMAGE, 1000),
            ["conv1/kernel"],
            0.98,
            (509_890, 509_927, 509_907),
        ),
        (
            lambda: models.mobilenet_v1(IMAGE, 1000),
            ["conv1/kernel"],
            0.8,
            (832_722, 832_730, 832_726),
        ),
        (
            lambda: models.mobilenet_v2(IMAGE, 1000),
            ["conv1/kernel"],
            0.9,
            (340_479, 340_492, 340_492),
        ),
        (
            lambda: models.vgg(IMAGE, 1000),
            [],
            0.95,
            (761_129, 761_132, 761_134),
        ),
        (
            lambda: models.vgg(IMAGE, 1000, variant="a"),
            [],
            0.8,
            (1_945_950, 1_945_953, 1_945_954),
        ),
    ],
    ids=["wrn", "resnet", "resnet_dense", "v1", "v2", "vgg_16", "vgg_a"],
)
def test_budgets_are_those_of_the_original(
    model, dense_layers, sparsity, expected
):
    model = model()
    found = candidates.maskable_kernels(model)
    for name, total in zip(
        ("uniform", "erdos_renyi", "erdos_renyi_kernel"), expected
    ):
        targets = masking.target_sparsities(
            model, sparsity, name, dense_layers=dense_layers
        )
        n_active = sum(
            counts.n_ones(math.prod(found[path].shape), s)
            for path, s in targets.items()
        )
        assert n_active == total, name
