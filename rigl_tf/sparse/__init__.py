"""Truly sparse layers: time and memory of their connections alone."""

from rigl_tf.sparse.backends import available
from rigl_tf.sparse.blocks import BlockDense
from rigl_tf.sparse.csr_files import load_csr
from rigl_tf.sparse.csr_files import save_csr
from rigl_tf.sparse.layers import SparseDense

__all__ = ["BlockDense", "SparseDense", "available", "load_csr", "save_csr"]
