"""Statistics of how masks move over a run."""

from collections.abc import Sequence
import typing

import numpy as np

from rigl_tf.layers import kernel_masks
from rigl_tf.layers import sparse_kernels
from rigl_tf.training.callbacks import base
from rigl_tf.training.callbacks import mask_history

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
        sparse_kernels: list of `sparse_kernels.SparseKernel`, the same.
    """

    def __init__(
        self,
        kernels: Sequence[kernel_masks.MaskedKernel],
        sparse_kernels: Sequence[sparse_kernels.SparseKernel] = (),
    ):
        super().__init__(interval=2**31)  # asked by others, never fires
        self._size = sum(kernel.size for kernel in kernels)
        self._size += sum(kernel.size for kernel in sparse_kernels)
        # In the order of the update's report.
        self._histories: list[typing.Any] = [
            *map(mask_history.Masked, kernels),
            *map(mask_history.Sparse, sparse_kernels),
        ]
        self._moved: np.ndarray = np.zeros(len(self._histories))
        self._norms: np.ndarray = np.zeros(len(self._histories))

    def on_update(
        self, trainer: "sparse_trainer.SparseTrainer", step: int
    ) -> None:
        """Count the connections that moved."""
        report: typing.Any = trainer.last_update_report
        self._moved += report[:, 0]
        self._norms = report[:, 1].astype("float64")
        for history in self._histories:
            history.note()

    def line(self) -> dict[str, typing.Any]:
        """Return the fields of a line of metrics, and reset the counts."""
        n = len(self._histories)
        moved, self._moved = self._moved, np.zeros(n)
        norms, self._norms = self._norms, np.zeros(n)
        if not n:
            return {}
        layers = self.layers()
        for layer, n_moved, norm in zip(layers, moved, norms):
            layer["moved"] = int(n_moved)
            layer["grown_gradient_norm"] = float(norm)
        return {"itop_rate": self.itop_rate(), "layers": layers}

    def layers(self) -> list[dict[str, typing.Any]]:
        """Describe the current connections of each kernel."""
        return [history.describe() for history in self._histories]

    def itop_rate(self) -> float:
        """Return the fraction of all weights that were ever active."""
        n_ever = sum(history.n_ever for history in self._histories)
        return float(n_ever / max(self._size, 1))

    def state(self) -> dict[str, np.ndarray]:
        """Return the histories and the counts."""
        state = {"moved": self._moved, "norms": self._norms}
        for index, history in enumerate(self._histories):
            for name, array in history.state().items():
                state[f"{name}/{index}"] = array
        return state

    def growing_state(self) -> list[str]:
        """Return the names of lists of positions that were ever active."""
        return [
            f"ever/{index}"
            for index, history in enumerate(self._histories)
            if isinstance(history, mask_history.Sparse)
        ]

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore histories and counts."""
        self._moved, self._norms = state["moved"], state["norms"]
        for index, history in enumerate(self._histories):
            history.restore(
                {name: state[f"{name}/{index}"] for name in history.state()}
            )
