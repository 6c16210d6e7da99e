"""Plain dense Keras models of the papers.

Each is a function `(input_shape, n_classes, **options)`; its option `width`
multiplies the numbers of channels or units.
"""

from rigl_tf.models.char_gru import char_gru
from rigl_tf.models.lenet import lenet5
from rigl_tf.models.lenet import mlp
from rigl_tf.models.mobilenet import mobilenet_v1
from rigl_tf.models.mobilenet import mobilenet_v2
from rigl_tf.models.resnet import resnet
from rigl_tf.models.vgg import vgg
from rigl_tf.models.wide_resnet import wide_resnet

__all__ = [
    "char_gru",
    "lenet5",
    "mlp",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet",
    "vgg",
    "wide_resnet",
]
