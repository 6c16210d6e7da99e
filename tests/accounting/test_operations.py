import math

import keras
from keras import layers as kl
import pytest
import tensorflow as tf

from rigl_tf import accounting


def of_layer(layer, shape, *, call=None, dtype=None):
    """Build a model of one layer and count it."""
    inputs = keras.Input(shape, dtype=dtype)
    outputs = call(layer, inputs) if call else layer(inputs)
    return accounting.count(keras.Model(inputs, outputs))


def n_products(counted):
    """Sum the multiplications with kernels."""
    return sum(k.size * k.uses for la in counted.layers for k in la.kernels)


L6 = math.log2(6)
SEQUENCE, IMAGE, VOLUME = (10, 6), (9, 9, 6), (5, 5, 5, 2)
LSTM, GRU = 4 * (6 * 4 + 4 * 4), 3 * (6 * 4 + 4 * 4)  # of 4 units, per step


def masked_sequence(layer, x):
    return layer(kl.Embedding(9, 6, mask_zero=True)(x))


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (kl.Dense(5), (7,), 7 * 5),
        (kl.Dense(5), (4, 7), 4 * 7 * 5),
        (kl.EinsumDense("abc,cd->abd", (None, 5)), (4, 7), 4 * 7 * 5),
        (kl.EinsumDense("...b,bcd->...cd", (2, 3)), (7,), 7 * 2 * 3),
        (kl.Conv1D(8, 3), SEQUENCE, 8 * 3 * 6 * 8),
        (kl.Conv1D(8, 3, padding="causal"), SEQUENCE, 10 * 3 * 6 * 8),
        (kl.Conv1D(8, 3, dilation_rate=2), SEQUENCE, 6 * 3 * 6 * 8),
        (kl.Conv1D(8, 3, groups=2), SEQUENCE, 8 * 3 * 3 * 8),
        (kl.Conv2D(8, (3, 2)), IMAGE, 7 * 8 * 3 * 2 * 6 * 8),
        (kl.Conv2D(8, 3, 2, "same"), IMAGE, 5 * 5 * 9 * 6 * 8),
        (kl.Conv2D(8, 3, dilation_rate=2), IMAGE, 5 * 5 * 9 * 6 * 8),
        (kl.Conv2D(9, 3, groups=3), IMAGE, 7 * 7 * 9 * 2 * 9),
        (
            kl.Conv2D(8, 3, data_format="channels_first"),
            (6, 9, 9),
            7 * 7 * 9 * 6 * 8,
        ),
        (kl.Conv3D(4, 2), VOLUME, 4**3 * 8 * 2 * 4),
        (kl.Conv3D(4, 2, 2, "same"), VOLUME, 3**3 * 8 * 2 * 4),
        (kl.Conv3D(4, 2, dilation_rate=2), VOLUME, 3**3 * 8 * 2 * 4),
        (kl.Conv3D(4, 2, groups=2), VOLUME, 4**3 * 8 * 1 * 4),
        (kl.DepthwiseConv1D(3, depth_multiplier=2), SEQUENCE, 8 * 3 * 6 * 2),
        (kl.DepthwiseConv1D(3, dilation_rate=3), SEQUENCE, 4 * 3 * 6),
        (kl.DepthwiseConv2D(3, 2, "same"), IMAGE, 5 * 5 * 9 * 6),
        (kl.DepthwiseConv2D(3, dilation_rate=2), IMAGE, 5 * 5 * 9 * 6),
        (
            kl.DepthwiseConv2D(3, padding="same", dilation_rate=2),
            IMAGE,
            9 * 9 * 9 * 6,
        ),
        (kl.SeparableConv1D(8, 3), SEQUENCE, 8 * (3 * 6 + 6 * 8)),
        (
            kl.SeparableConv2D(8, 3, depth_multiplier=2),
            IMAGE,
            7 * 7 * (9 * 6 * 2 + 6 * 2 * 8),
        ),
        # Every input meets every weight.
        (kl.Conv1DTranspose(4, 3, 2), SEQUENCE, 10 * 3 * 6 * 4),
        (kl.Conv2DTranspose(4, 3, 2, "same"), IMAGE, 9 * 9 * 9 * 6 * 4),
        (kl.Conv3DTranspose(4, 2), VOLUME, 5**3 * 8 * 2 * 4),
        (kl.Embedding(9, 6), (10,), 0),
        (kl.SimpleRNN(4), SEQUENCE, 10 * (6 * 4 + 4 * 4)),
        (kl.GRU(4, return_sequences=True), SEQUENCE, 10 * GRU),
        (kl.GRU(4, reset_after=False), SEQUENCE, 10 * GRU),
        (kl.LSTM(4, go_backwards=True), SEQUENCE, 10 * LSTM),
        (kl.LSTM(4, unroll=True, dropout=0.5), SEQUENCE, 10 * LSTM),
        (kl.Bidirectional(kl.LSTM(4)), SEQUENCE, 2 * 10 * LSTM),
        (
            kl.RNN(kl.StackedRNNCells([kl.LSTMCell(4), kl.GRUCell(5)])),
            SEQUENCE,
            10 * (LSTM + 3 * (4 * 5 + 5 * 5)),
        ),
        (
            kl.ConvLSTM2D(4, 3, return_sequences=True),
            (5, 8, 8, 2),
            5 * 6 * 6 * 9 * (2 + 4) * 4 * 4,
        ),
        (kl.TimeDistributed(kl.Conv1D(8, 3)), (4, *SEQUENCE), 4 * 8 * 144),
        (kl.SpectralNormalization(kl.Dense(5)), (7,), 7 * 5),
    ],
)
def test_products_with_kernels(layer, shape, expected):
    assert n_products(of_layer(layer, shape)) == expected


def test_products_of_recurrent_layers_with_masks_and_kept_states():
    for layer in kl.GRU(4), kl.Bidirectional(kl.GRU(4), merge_mode="sum"):
        counted = of_layer(layer, (10,), call=masked_sequence, dtype="int32")
        n_layers = 1 + isinstance(layer, kl.Bidirectional)
        assert n_products(counted) == n_layers * 10 * GRU
    inputs = keras.Input(batch_shape=(8, *SEQUENCE))
    model = keras.Model(inputs, kl.GRU(4, stateful=True)(inputs))
    assert n_products(accounting.count(model)) == 10 * GRU


@pytest.mark.parametrize(
    "layer, kernels, multiplications",
    [
        # For each pair of 4 steps, and head: scalar product, scale, division
        # of the softmax, weighted sum.
        (kl.MultiHeadAttention(2, 3), 4 * 7 * 6 * 4, 4 * 4 * 2 * (3 + 2 + 3)),
        (
            kl.GroupQueryAttention(3, 4, 2),
            4 * 7 * 3 * (4 + 2 + 2 + 4),
            4 * 4 * 4 * (3 + 2 + 3),
        ),
        (kl.Attention(), 0, 4 * 4 * (7 + 1 + 7)),
        (kl.AdditiveAttention(), 0, 4 * 4 * (7 + 1 + 7)),
    ],
)
def test_products_of_attention(layer, kernels, multiplications):
    attend = isinstance(layer, (kl.Attention, kl.AdditiveAttention))
    counted = of_layer(
        layer,
        (4, 7),
        call=lambda layer, x: layer([x, x]) if attend else layer(x, x),
    )
    assert n_products(counted) == kernels
    assert counted.multiplications == kernels + multiplications


@pytest.mark.parametrize(
    "function, multiplications, additions",
    [
        (lambda x: keras.ops.sum(x, 1), 0, 6 * 3),
        (lambda x: keras.ops.mean(x, 1), 6, 6 * 3),
        (lambda x: keras.ops.prod(x, 1), 6 * 3, 0),
        (lambda x: keras.ops.softmax(x), 24, 24 + 4 * 5),
        (lambda x: keras.ops.einsum("bij->bji", x), 0, 0),
        (lambda x: keras.ops.einsum("bij,bik->bjk", x, x), 4 * 36, 4 * 36),
        (lambda x: keras.ops.matmul(keras.ops.ones((6, 4)), x), 144, 144),
        (lambda x: keras.ops.fft((x, x))[0], 4 * 12 * L6, 4 * 18 * L6),
        (lambda x: keras.ops.rfft(x)[0], 4 * 6 * L6, 4 * 9 * L6),
        (lambda x: x % 2.0, 24, 0),
        (lambda x: tf.add_n([x, x, x]), 0, 48),
        (lambda x: tf.math.segment_sum(x[0], [0, 0, 1, 1]), 0, 24),
        (lambda x: tf.nn.lrn(x[..., None], 2), 3 * 24, 5 * 24),
        (lambda x: tf.map_fn(lambda row: row * 2.0, x[0]), 24, 0),
        (lambda x: x + keras.random.normal((4, 6)), 24, 2 * 24),
    ],
)
def test_operations_by_hand(function, multiplications, additions):
    counted = of_layer(kl.Lambda(function), (4, 6))
    assert counted.multiplications == pytest.approx(multiplications)
    assert counted.additions == pytest.approx(additions)


WITHOUT_ARGUMENTS = {
    (8,): """
        ActivityRegularization BatchNormalization ELU Flatten Identity
        LayerNormalization LeakyReLU Masking PReLU RMSNormalization ReLU Softmax
        UnitNormalization""",
    (6, 4): """
        Cropping1D GlobalAveragePooling1D GlobalMaxPooling1D MaxPooling1D
        UpSampling1D ZeroPadding1D""",
    (8, 8, 3): """
        AugMix AutoContrast BatchNormalization Cropping2D CutMix
        ContrastLimitedAdaptiveHistogramEqualization GlobalAveragePooling2D
        GlobalMaxPooling2D LayerNormalization MaxPooling2D MixUp PReLU
        RandAugment RandomColorJitter RandomElasticTransform RandomErasing
        RandomFlip RandomGaussianBlur RandomGrayscale RandomInvert
        RandomPerspective RandomShear Solarization UpSampling2D
        ZeroPadding2D""",
    (4, 4, 4, 2): """
        Cropping3D GlobalAveragePooling3D GlobalMaxPooling3D MaxPooling3D
        UpSampling3D ZeroPadding3D""",
}
WITH_ARGUMENTS = {
    (8,): [
        kl.AlphaDropout(0.5),
        kl.Discretization([0.0], output_mode="one_hot"),
        kl.Dropout(0.5),
        kl.GaussianDropout(0.5),
        kl.GaussianNoise(1.0),
        kl.GroupNormalization(2),
        kl.Normalization(mean=0.0, variance=2.0),
        kl.ReLU(6.0, 0.1, 0.1),
        kl.RepeatVector(3),
        kl.Rescaling(0.1, 1.0),
        kl.Reshape((2, 4)),
        kl.SpectralNormalization(kl.Dense(3)),
    ],
    (6, 4): [
        kl.AveragePooling1D(2),
        kl.Permute((2, 1)),
        kl.SpatialDropout1D(0.5),
    ],
    (8, 8, 3): [
        kl.AveragePooling2D(2),
        kl.CenterCrop(4, 4),
        kl.CenterCrop(9, 9),
        kl.Pipeline([kl.RandomFlip(), kl.Rescaling(2.0)]),
        kl.RandomBrightness(0.5),
        kl.RandomColorDegeneration(0.5),
        kl.RandomContrast(0.5),
        kl.RandomCrop(4, 4),
        kl.RandomHue(0.5),
        kl.RandomPosterization(4),
        kl.RandomRotation(0.5),
        kl.RandomSaturation(0.5),
        kl.RandomSharpness(0.5),
        kl.RandomTranslation(0.5, 0.5),
        kl.RandomZoom(0.5),
        kl.Resizing(4, 5, "area"),
        kl.Resizing(4, 5, "nearest"),
        kl.Resizing(4, 5, crop_to_aspect_ratio=True),
        kl.SpatialDropout2D(0.5),
        kl.UpSampling2D(interpolation="lanczos5"),
    ],
    (4, 4, 4, 2): [
        kl.AveragePooling3D(2),
        kl.SpatialDropout3D(0.5),
    ],
    (400,): [kl.MelSpectrogram(64, 32)],
    (400, 1): [kl.STFTSpectrogram(frame_length=32, frame_step=16)],
}
if hasattr(kl, "AdaptiveMaxPooling1D"):  # from Keras 3.13 on
    for shape in ((6, 4), (8, 8, 3), (4, 4, 4, 2)):
        rank = len(shape) - 1
        for kind in ("Average", "Max"):
            pooling = getattr(kl, f"Adaptive{kind}Pooling{rank}D")
            WITH_ARGUMENTS[shape].append(pooling(3))

INTEGERS = [
    kl.CategoryEncoding(3),
    kl.CategoryEncoding(3, output_mode="count"),
    kl.Hashing(4),
    kl.IntegerLookup(vocabulary=[1], output_mode="multi_hot"),
]
MERGES = "Add Average Concatenate Maximum Minimum Multiply Subtract"
ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh
    leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu
    soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
    squareplus tanh tanh_shrink"""


@pytest.mark.parametrize("shape", WITH_ARGUMENTS)
def test_every_layer_without_kernel_can_be_counted(shape):
    names = WITHOUT_ARGUMENTS.get(shape, "").split()
    known = [name for name in names if hasattr(kl, name)]  # Keras grows
    assert len(known) >= len(names) - 1
    for layer in [getattr(kl, name)() for name in known] + WITH_ARGUMENTS[
        shape
    ]:
        counted = of_layer(layer, shape)
        assert counted.parameters == layer.count_params(), layer


def test_every_layer_of_integers_can_be_counted():
    for layer in INTEGERS:
        assert of_layer(layer, (8,), dtype="int32").multiplications == 0


def test_every_merge_can_be_counted():
    for layer in [kl.Dot(1), *(getattr(kl, name)() for name in MERGES.split())]:
        counted = of_layer(layer, (8,), call=lambda layer, x: layer([x, x]))
        name = type(layer).__name__
        assert counted.multiplications == 8 * (
            name in ("Average", "Dot", "Multiply")
        )
        assert counted.additions == 8 * (
            name in ("Add", "Average", "Dot", "Subtract")
        )


@pytest.mark.parametrize("activation", ACTIVATIONS.split())
def test_every_activation_can_be_counted(activation):
    counted = of_layer(kl.Activation(activation), (8,))
    assert (counted.flops == 0) == (activation in FREE_ACTIVATIONS)


FREE_ACTIVATIONS = """
    elu exponential hard_shrink hard_tanh linear log_sigmoid relu relu6 selu
    sigmoid softplus softsign tanh""".split()


@pytest.mark.parametrize(
    "layer, shape, products",
    [
        # Weights per number of the result.
        (kl.Resizing(4, 5), (8, 8, 3), 4 * 5 * 3 * 4),
        (kl.UpSampling2D(interpolation="bicubic"), (4, 4, 3), 8 * 8 * 3 * 16),
        # Columns, then rows; a triangle from -2 to 2, and one more.
        (
            kl.Resizing(4, 4, antialias=True),
            (8, 8, 1),
            4 * 8 * 5 + 4 * 4 * 5,
        ),
        # Lanczos kernels reach three pixels to both sides.
        (
            kl.Resizing(16, 16, "lanczos3"),
            (8, 8, 1),
            16 * 8 * 7 + 16 * 16 * 7,
        ),
        (kl.Resizing(4, 4, "area"), (8, 8, 1), 4 * 4 * 2 * 2),
    ],
)
def test_resizing_weights_neighbours(layer, shape, products):
    counted = of_layer(layer, shape)
    assert counted.additions == products
    # And divisions for the scales of height and width.
    assert counted.multiplications - products in (0, 2)
