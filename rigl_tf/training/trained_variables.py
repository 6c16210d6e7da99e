"""List the variables that an optimizer trains, and check their gradients."""

from collections.abc import Sequence
import dataclasses
import typing

import keras
import tensorflow as tf

from rigl_tf.layers import candidates
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels

if typing.TYPE_CHECKING:
    from rigl_tf.training import dense_weights


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trainable variable of the model, and what the optimizer trains for it.

    Attributes:
        variable: the model's.
        trained: the same, or the dense weights of which it is the active part.
        kernel: its `MaskedKernel`, or None.
        l2: weight decay of this variable.
    """

    variable: keras.Variable
    trained: keras.Variable
    kernel: kernel_masks.MaskedKernel | None
    l2: float


def kernels_of(
    model: keras.Model,
) -> tuple[list[kernel_masks.MaskedKernel], list[sparse_kernels.SparseKernel]]:
    """List the kernels that training moves: masked, and truly sparse ones.

    Kernels of frozen layers are left out.

    Raises:
        ValueError: there are none.
    """
    trainable = {id(variable) for variable in model.trainable_variables}
    masks, sparse = sparse_kernels.all_kernels(model)
    trained_masked = [k for k in masks if id(k.kernel) in trainable]
    trained_sparse = [k for k in sparse if id(k.kernel) in trainable]
    if not trained_masked and not trained_sparse:
        raise ValueError(
            "At least one sparse kernel must be trainable. Received: a model "
            f"of which all {len(masks) + len(sparse)} are frozen; set "
            "`trainable = True` on a layer, or train with `updater=None` after "
            "`rigl_tf.strip`"
        )
    return trained_masked, trained_sparse


def require_plain(model: keras.Model) -> None:
    """Raise ValueError if a model that shall be trained densely has masks."""
    if any(isinstance(la, masked.Masked) for _, la in model_paths.walk(model)):
        raise ValueError(
            "`updater=None` trains densely, and `model` has masks: name a "
            "method, such as `updaters.Static()` for fixed masks, or train "
            f"`rigl_tf.strip(model)`. Received: {model.name!r}"
        )


def list_all(
    model: keras.Model,
    kernels: Sequence[kernel_masks.MaskedKernel],
    dense: "dense_weights.DenseWeights",
    l2: float,
) -> list[Trained]:
    """List the trainable variables of a model, in their order.

    Args:
        model: Keras model.
        kernels: list of its `kernel_masks.MaskedKernel`s that are trained.
        dense: `dense_weights.DenseWeights` of these.
        l2: weight decay wd of kernels, masked or not.

    Returns:
        list of `Trained`.
    """
    by_id = {id(item.kernel): item for item in kernels}
    # Vectors of active weights, which decay as the kernel would.
    sparse = {id(k.kernel) for k in sparse_kernels.sparse_kernels(model)}
    dense_by_id = dense.by_kernel()
    return [
        Trained(
            variable,
            dense_by_id.get(id(variable), variable),
            by_id.get(id(variable)),
            l2
            if candidates.decays(variable) or id(variable) in sparse
            else 0.0,
        )
        for variable in model.trainable_variables
    ]


def require_current(model: keras.Model, variables: Sequence[Trained]) -> None:
    """Raise ValueError if layers were frozen or unfrozen in the meantime.

    Args:
        model: Keras model.
        variables: list of `Trained`, made before.
    """
    now = {id(variable) for variable in model.trainable_variables}
    then = {id(entry.variable) for entry in variables}
    if now != then:
        _refuse(f"{len(now)} trainable variables, where there were {len(then)}")


def require_aligned(
    gradients: Sequence[tf.Tensor | None], variables: Sequence[Trained]
) -> None:
    """Raise ValueError unless there is one gradient per trained variable.

    Args:
        gradients: list of tensors or None.
        variables: list of `Trained`.
    """
    if len(gradients) != len(variables):
        _refuse(f"{len(gradients)} gradients for {len(variables)} variables")


def _refuse(received):
    raise ValueError(
        "The variables to train must be those that were trainable when the "
        "steps were built. After freezing or unfreezing layers build new ones "
        f"(with `SparseModel`, call `compile` again). Received: {received}"
    )
