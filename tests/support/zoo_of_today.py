"""Tiny models of the kinds that are trained today, from three sources."""

import os

import keras
from keras import layers as kl
from keras import ops
from keras_hub import models as hub
import numpy as np

FULL = os.environ.get("RIGL_TF_MATRIX") == "full"

# Hand-made


@keras.saving.register_keras_serializable(package="today")
class Tokens(kl.Layer):
    """Patches, a class token before them, positions added."""

    def build(self, shape):
        self.cls = self.add_weight(shape=(1, 1, shape[-1]), name="cls")
        length = shape[1] + 1
        self.pos = self.add_weight(shape=(1, length, shape[-1]), name="pos")

    def call(self, x):
        cls = ops.broadcast_to(self.cls, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([cls, x], 1) + self.pos


@keras.saving.register_keras_serializable(package="today")
class Positions(kl.Layer):
    """Token embeddings and learned positions, as in a GPT."""

    def __init__(self, vocabulary, width, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.width = vocabulary, width
        self.tokens = kl.Embedding(vocabulary, width)

    def build(self, shape):
        self.tokens.build(shape)
        self.pos = self.add_weight(shape=(shape[1], self.width), name="pos")

    def call(self, x):
        return self.tokens(x) + self.pos

    def get_config(self):
        own = {"vocabulary": self.vocabulary, "width": self.width}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="today")
class Mixing(kl.Layer):
    """A gated unit with kernels of its own, one of them standardized."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 8), name="w")
        self.v = self.add_weight(shape=(1, shape[-1], 8), name="v")
        self.scale = self.add_weight(shape=(1, 8), name="scale")

    def call(self, x):
        v = self.v - ops.mean(self.v, 1, keepdims=True)
        gate = ops.sigmoid(ops.matmul(x, v[0]))
        return self.scale * gate * ops.einsum("bi,io->bo", x, self.w)


@keras.saving.register_keras_serializable(package="today")
class Cell(kl.Layer):
    """A recurrent cell with kernels of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")
        self.u = self.add_weight(shape=(self.units, self.units), name="u")

    def call(self, x, states):
        h = ops.tanh(ops.matmul(x, self.w) + ops.matmul(states[0], self.u))
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="today")
class OwnGraph(keras.Model):
    """A functional model that its constructor makes, with a method."""

    def __init__(self, units, **kwargs):
        inputs = keras.Input((6,))
        hidden = kl.Dense(units, "relu")
        super().__init__(inputs, kl.Dense(3)(hidden(inputs)), **kwargs)
        self.units, self.hidden = units, hidden

    def features(self, x):
        return self.hidden(x)

    def get_config(self):
        return {"units": self.units, "name": self.name}


@keras.saving.register_keras_serializable(package="today")
class Autoencoder(keras.Model):
    """A subclassed model of two models."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = keras.Sequential([kl.Dense(8, "relu"), kl.Dense(2)])
        self.decoder = keras.Sequential([kl.Dense(8, "relu"), kl.Dense(6)])

    def build(self, shape):
        self.encoder.build(shape)
        self.decoder.build((shape[0], 2))

    def call(self, x):
        return self.decoder(self.encoder(x))


def _block(x, causal=False):
    y = kl.LayerNormalization()(x)
    x = x + kl.MultiHeadAttention(2, 4)(y, y, use_causal_mask=causal)
    y = kl.Dense(16, "gelu")(kl.LayerNormalization()(x))
    return x + kl.Dense(8)(y)


def vision_transformer():
    inputs = keras.Input((8, 8, 3))
    x = kl.Conv2D(8, 4, 4)(inputs)
    x = _block(Tokens()(kl.Reshape((4, 8))(x)))
    return keras.Model(inputs, kl.Dense(3)(x[:, 0]))


def language_model():
    inputs = keras.Input((5,), dtype="int32")
    x = _block(Positions(16, 8)(inputs), causal=True)
    return keras.Model(inputs, kl.Dense(16)(x))


def u_net():
    inputs = keras.Input((8, 8, 3))
    fine = kl.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = kl.Conv2D(8, 3, padding="same")(kl.MaxPooling2D()(fine))
    x = kl.Conv2DTranspose(4, 2, 2)(kl.ReLU()(kl.BatchNormalization()(x)))
    x = kl.Concatenate()([fine, x])
    return keras.Model(inputs, kl.Conv2D(2, 1)(x))


def recurrent():
    inputs = keras.Input((5, 4))
    x = kl.Bidirectional(kl.LSTM(4, return_sequences=True))(inputs)
    x = kl.RNN(Cell(4), return_sequences=True)(x)
    return keras.Model(inputs, kl.Dense(3)(kl.GRU(4)(x)))


def siamese():
    tower = keras.Sequential([keras.Input((6,)), kl.Dense(8, "relu")])
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    distance = kl.Subtract()([tower(one), tower(two)])
    return keras.Model([one, two], kl.Dense(1)(distance))


def many_inputs_and_outputs():
    one, two = keras.Input((6,), name="one"), keras.Input((4,), name="two")
    x = kl.Concatenate()([kl.Dense(4)(one), kl.Dense(4)(two)])
    outputs = {"a": kl.Dense(3, name="a")(x), "b": kl.Dense(2, name="b")(x)}
    return keras.Model({"one": one, "two": two}, outputs)


def nested():
    core = vision_transformer()
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, kl.Dense(2)(core(kl.Rescaling(0.5)(inputs))))


def video():
    inputs = keras.Input((3, 6, 6, 2))
    x = kl.TimeDistributed(kl.Conv2D(4, 3))(inputs)
    x = kl.ConvLSTM2D(4, 3)(x)
    return keras.Model(inputs, kl.Dense(3)(kl.Flatten()(x)))


def separable():
    inputs = keras.Input((8, 8, 3))
    x = kl.SeparableConv2D(4, 3, activation="relu")(inputs)
    x = kl.Conv2D(8, 1, groups=2)(kl.DepthwiseConv2D(3)(x))
    return keras.Model(inputs, kl.Dense(3)(kl.GlobalAveragePooling2D()(x)))


def mixer():
    inputs = keras.Input((4, 8))
    x = inputs + kl.Permute((2, 1))(kl.Dense(4)(kl.Permute((2, 1))(inputs)))
    x = kl.EinsumDense("btc,cd->btd", (4, 6))(kl.GroupNormalization(2)(x))
    return keras.Model(inputs, kl.Dense(3)(kl.Flatten()(x)))


def mixed_precision():
    inputs = keras.Input((6,))
    x = kl.Dense(8, "relu", dtype="mixed_bfloat16")(inputs)
    return keras.Model(inputs, kl.Dense(3, dtype="float32")(x))


def spectral_normalization():
    inputs = keras.Input((8, 8, 3))
    x = kl.SpectralNormalization(kl.Conv2D(4, 3))(inputs)
    return keras.Model(inputs, kl.Dense(3)(kl.Flatten()(x)))


def own_kernels():
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(3)(Mixing()(inputs)))


def own_graph():
    return OwnGraph(8)


def own_graph_inside():
    inputs = keras.Input((6,))
    core = OwnGraph(8)
    return keras.Model(inputs, kl.Dense(3)(core(inputs)))


def autoencoder():
    model = Autoencoder()
    model(np.zeros((1, 6)))
    return model


def with_lambda():
    inputs = keras.Input((6,))
    x = kl.Lambda(lambda x: abs(x) + 1)(kl.Dense(8)(inputs))
    return keras.Model(inputs, kl.Dense(3)(x))


def with_lora():
    model = keras.Sequential(
        [keras.Input((6,)), kl.Dense(8, "relu", name="tuned"), kl.Dense(3)]
    )
    layer = model.get_layer("tuned")
    layer.enable_lora(2, lora_alpha=4)
    layer.lora_kernel_b.assign(ops.ones((2, 8)))
    return model


# KerasHub

_WORDS = {"vocabulary_size": 16, "num_layers": 1, "hidden_dim": 8}
_TEXT = {**_WORDS, "num_heads": 2, "intermediate_dim": 16}
_GROUPED = {
    **_WORDS,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_dim": 16,
}


def gemma():
    return hub.GemmaCausalLM(hub.GemmaBackbone(head_dim=4, **_GROUPED))


def gpt2():
    return hub.GPT2CausalLM(hub.GPT2Backbone(max_sequence_length=12, **_TEXT))


def llama():
    return hub.LlamaCausalLM(hub.LlamaBackbone(**_GROUPED))


def bert_backbone():
    return hub.BertBackbone(max_sequence_length=12, **_TEXT)


def bert_classifier():
    return hub.BertTextClassifier(bert_backbone(), num_classes=3)


def bert_masked_lm():
    return hub.BertMaskedLM(bert_backbone())


def bert_inside():
    core = bert_backbone()
    x = core(core.input)["pooled_output"]
    return keras.Model(core.input, kl.Dense(3)(x))


def bart():
    return hub.BartSeq2SeqLM(hub.BartBackbone(max_sequence_length=12, **_TEXT))


def whisper():
    return hub.WhisperBackbone(
        max_encoder_sequence_length=12, max_decoder_sequence_length=6, **_TEXT
    )


def vit_classifier():
    backbone = hub.ViTBackbone(
        image_shape=(8, 8, 3),
        patch_size=(4, 4),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )
    return hub.ViTImageClassifier(backbone, num_classes=3)


def resnet_classifier():
    backbone = hub.ResNetBackbone(
        [64], [3], [64], [1], [1], "basic_block", image_shape=(16, 16, 3)
    )
    return hub.ResNetImageClassifier(backbone, num_classes=3)


def segmenter():
    backbone = hub.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        layerwise_strides=[4, 2],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        hidden_dims=[8, 16],
        image_shape=(32, 32, 3),
    )
    return hub.SegFormerImageSegmenter(
        hub.SegFormerBackbone(backbone, projection_filters=4), num_classes=2
    )


# keras.applications


def _application(name, size=32, **kwargs):
    def build():
        return getattr(keras.applications, name)(
            input_shape=(size, size, 3),
            weights=None,
            classes=3,
            classifier_activation=None,
            **kwargs,
        )

    build.__name__ = name
    return build


_SMALL = (_application("MobileNetV3Small", alpha=0.35, minimalistic=True),)
_LARGE = (
    _application("ConvNeXtTiny"),
    _application("DenseNet121"),
    _application("EfficientNetB0"),
    _application("MobileNet", alpha=0.25),
    _application("MobileNetV2", alpha=0.35),
    _application("ResNet50V2"),
    _application("Xception", 72),
)
_MORE = (
    *(segmenter, gemma, llama, bert_backbone, bert_masked_lm, whisper),
    *_LARGE,
)
KINDS = {
    build.__name__: build
    for build in (
        vision_transformer,
        language_model,
        u_net,
        recurrent,
        siamese,
        many_inputs_and_outputs,
        nested,
        video,
        separable,
        mixer,
        mixed_precision,
        spectral_normalization,
        own_kernels,
        own_graph,
        own_graph_inside,
        autoencoder,
        with_lambda,
        with_lora,
        gpt2,
        bert_classifier,
        bert_inside,
        bart,
        vit_classifier,
        resnet_classifier,
        *_SMALL,
        *(_MORE if FULL else ()),
    )
}


def examples(model, n=4):
    """Return a batch that the model takes."""
    rng = np.random.default_rng(0)
    if isinstance(model, Autoencoder):
        return rng.normal(size=(n, 6)).astype(np.float32)

    def one(tensor):
        shape = (n, *(4 if size is None else size for size in tensor.shape[1:]))
        if "padding" in tensor.name:
            return np.ones(shape, np.int32)
        if "segment" in tensor.name:
            return np.zeros(shape, np.int32)
        if "positions" in tensor.name:
            return rng.integers(0, 4, shape).astype(np.int32)
        if "int" in tensor.dtype:
            return rng.integers(1, 16, shape).astype(np.int32)
        return rng.normal(size=shape).astype(np.float32)

    sequential = isinstance(model, keras.Sequential)
    inputs = model.inputs[0] if sequential else model.input
    # Data sets would stack a list.
    inputs = tuple(inputs) if isinstance(inputs, list) else inputs
    return keras.tree.map_structure(one, inputs)
