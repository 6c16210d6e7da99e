"""Statistics of how masks move over a run."""

from collections.abc import Sequence
import typing

import numpy as np

from rigl_tf.layers import kernel_masks
from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class MaskStatistics(base.Callback):
    """Follow how the masks move; read by `LogMetrics` and the result.

    Per kernel: connections that moved since the last line, the norm of the
    dense gradients of those that the last update since grew, dead rows and
    columns (inputs and outputs without any connection), overlap with the first
    mask, and the ITOP rate, the fraction of weights that were ever active (Liu
    et al. 2021).

    Args:
        kernels: list of `kernel_masks.MaskedKernel`, with their first masks.
    """

    def __init__(self, kernels: Sequence[kernel_masks.MaskedKernel]):
        super().__init__(interval=2**31)  # asked by others, never fires
        self._kernels = kernels
        self._first = [_bits(kernel) for kernel in kernels]
        self._ever = [mask.copy() for mask in self._first]
        self._moved: np.ndarray = np.zeros(len(kernels))
        self._norms: np.ndarray = np.zeros(len(kernels))

    def on_update(
        self, trainer: "sparse_trainer.SparseTrainer", step: int
    ) -> None:
        """Count the connections that moved."""
        report: typing.Any = trainer.last_update_report
        self._moved += report[:, 0]
        self._norms = report[:, 1].astype("float64")
        for ever, kernel in zip(self._ever, self._kernels):
            ever |= _bits(kernel)

    def line(self) -> dict[str, typing.Any]:
        """Return the fields of a line of metrics, and reset the counts."""
        moved, self._moved = self._moved, np.zeros(len(self._kernels))
        norms, self._norms = self._norms, np.zeros(len(self._kernels))
        if not self._kernels:
            return {}
        layers = self.layers()
        for layer, n_moved, norm in zip(layers, moved, norms):
            layer["moved"] = int(n_moved)
            layer["grown_gradient_norm"] = float(norm)
        return {"itop_rate": self.itop_rate(), "layers": layers}

    def layers(self) -> list[dict[str, typing.Any]]:
        """Describe the current mask of each kernel."""
        described = []
        for kernel, first in zip(self._kernels, self._first):
            mask = _bits(kernel)
            rows = mask.reshape(-1, mask.shape[-1])
            inputs = mask.any(axis=-1)
            n_active = int(mask.sum())
            described.append(
                {
                    "name": kernel.path,
                    "shape": list(mask.shape),
                    "target": kernel.sparsity,
                    "sparsity": 1 - n_active / mask.size,
                    "n_active": n_active,
                    "dead_rows": int(inputs.size - inputs.sum()),
                    "dead_columns": int((~rows.any(axis=0)).sum()),
                    "first_mask_overlap": float((mask & first).sum())
                    / max(n_active, 1),
                }
            )
        return described

    def itop_rate(self) -> float:
        """Return the fraction of all weights that were ever active."""
        sizes = sum(ever.size for ever in self._ever)
        return float(sum(ever.sum() for ever in self._ever) / max(sizes, 1))

    def state(self) -> dict[str, np.ndarray]:
        """Return masks as bits, and the counts."""
        masks = zip(self._first, self._ever)
        state = {"moved": self._moved, "norms": self._norms}
        for index, (first, ever) in enumerate(masks):
            state[f"first/{index}"] = np.packbits(first)
            state[f"ever/{index}"] = np.packbits(ever)
        return state

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore masks and counts."""
        self._moved, self._norms = state["moved"], state["norms"]
        for name, masks in (("first", self._first), ("ever", self._ever)):
            for index, mask in enumerate(masks):
                bits = np.unpackbits(state[f"{name}/{index}"], count=mask.size)
                masks[index] = bits.reshape(mask.shape).astype(bool)


def _bits(kernel):
    return kernel.mask.numpy().astype(bool)
