"""The paper's tables, as far as they can be counted without training."""

from rigl_tf.tables import cells
from rigl_tf.tables import imagenet
from rigl_tf.tables import others

BY_NAME = {
    "resnet50": imagenet.resnet50,
    "mobilenet_v1": imagenet.mobilenet_v1,
    "mobilenet_v2": imagenet.mobilenet_v2,
    "widths": imagenet.find_widths,
    "cifar": others.cifar,
    "erk": others.erk,
    "dsr": others.dsr,
    "str": others.str_levels,
    "gru": others.gru,
    "lenet": others.lenet,
}


def markdown(name):
    """Return a table as Markdown: ours, and published numbers beside.

    Args:
        name: one of `BY_NAME`.
    """
    return cells.markdown(BY_NAME[name]())
