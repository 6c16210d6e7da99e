"""tf.data pipelines that know nothing of models."""

from rigl_tf.datasets.arrays import ArrayDataset
from rigl_tf.datasets.arrays import Split
from rigl_tf.datasets.digits import digits
from rigl_tf.datasets.mnist import mnist

__all__ = ["ArrayDataset", "Split", "digits", "mnist"]
