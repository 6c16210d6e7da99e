"""Plain dense Keras models that know nothing of sparsity."""

from rigl_tf.models.mnist import lenet5
from rigl_tf.models.mnist import mlp

__all__ = ["lenet5", "mlp"]
