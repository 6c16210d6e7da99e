"""What a kernel's connections were at first, and ever, since then."""

import typing

import numpy as np

from rigl_tf.layers import kernel_masks
from rigl_tf.layers import sparse_kernels


class Masked:
    """History of a masked kernel, in bits.

    Args:
        kernel: `kernel_masks.MaskedKernel`, with its first mask.
    """

    def __init__(self, kernel: kernel_masks.MaskedKernel):
        self._kernel = kernel
        self._first = self._now()
        self._ever = self._first.copy()

    def _now(self):
        return self._kernel.mask.numpy().astype(bool)

    def note(self) -> None:
        """Take note of the connections after an update."""
        self._ever |= self._now()

    @property
    def n_ever(self) -> int:
        """Number of weights that were ever active."""
        return int(self._ever.sum())

    def describe(self) -> dict[str, typing.Any]:
        """Return counts of the connections, as in metrics.jsonl."""
        mask = self._now()
        rows = mask.reshape(-1, mask.shape[-1])
        inputs = mask.any(axis=-1)
        n_active = int(mask.sum())
        return {
            "name": self._kernel.path,
            "shape": list(mask.shape),
            "target": self._kernel.sparsity,
            "sparsity": 1 - n_active / mask.size,
            "n_active": n_active,
            "dead_rows": int(inputs.size - inputs.sum()),
            "dead_columns": int((~rows.any(axis=0)).sum()),
            "first_mask_overlap": float((mask & self._first).sum())
            / max(n_active, 1),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps."""
        return {
            "first": np.packbits(self._first),
            "ever": np.packbits(self._ever),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._first = self._unpacked(state["first"])
        self._ever = self._unpacked(state["ever"])

    def _unpacked(self, packed):
        bits = np.unpackbits(packed, count=self._first.size)
        return bits.reshape(self._first.shape).astype(bool)


class Sparse:
    """History of a truly sparse kernel, in positions.

    Args:
        kernel: `sparse_kernels.SparseKernel`, with its first connections.
    """

    def __init__(self, kernel: sparse_kernels.SparseKernel):
        self._kernel = kernel
        self._first = kernel.layer.positions()
        self._ever = self._first

    def note(self) -> None:
        """Take note of the connections after an update."""
        self._ever = np.union1d(self._ever, self._kernel.layer.positions())

    @property
    def n_ever(self) -> int:
        """Number of weights that were ever active."""
        return len(self._ever) * self._kernel.block**2

    def describe(self) -> dict[str, typing.Any]:
        """Return counts of the connections, as in metrics.jsonl."""
        kernel = self._kernel
        structure = kernel.layer.structure
        now = kernel.layer.positions()
        both = np.intersect1d(now, self._first, assume_unique=True)
        return {
            "name": kernel.path,
            "shape": list(kernel.shape),
            "target": kernel.sparsity,
            "sparsity": kernel.sparsity,
            "n_active": kernel.n_active,
            "dead_rows": _n_empty(structure.row_starts) * kernel.block,
            "dead_columns": _n_empty(structure.column_starts) * kernel.block,
            "first_mask_overlap": len(both) / len(now),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps."""
        return {"first": self._first, "ever": self._ever}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._first, self._ever = state["first"], state["ever"]


def _n_empty(starts):
    return int(np.count_nonzero(np.diff(starts.numpy()) == 0))
