"""The paper's tables of counted numbers, which need no training."""

from collections.abc import Callable

from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import cifar
from rigl_tf.accounting.tables import erk
from rigl_tf.accounting.tables import found_sparsities
from rigl_tf.accounting.tables import gru
from rigl_tf.accounting.tables import lenet
from rigl_tf.accounting.tables import mobilenet
from rigl_tf.accounting.tables import resnet50
from rigl_tf.accounting.tables import widths

BY_NAME: dict[str, Callable[[], cells.Table]] = {
    "resnet50": resnet50.resnet50,
    "mobilenet_v1": mobilenet.mobilenet_v1,
    "mobilenet_v2": mobilenet.mobilenet_v2,
    "widths": widths.find_widths,
    "cifar": cifar.cifar,
    "erk": erk.erk,
    "dsr": found_sparsities.dsr,
    "str": found_sparsities.str_levels,
    "gru": gru.gru,
    "lenet": lenet.lenet,
}


def markdown(name: str) -> str:
    """Return a table as Markdown: our numbers beside the published ones.

    Args:
        name: one of `BY_NAME`.
    """
    return cells.markdown(BY_NAME[name]())
