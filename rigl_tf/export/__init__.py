"""Write files for other programs, and say what they are worth."""

from rigl_tf.export.compact import load_compact
from rigl_tf.export.compact import save_compact
from rigl_tf.export.litert.xnnpack import XnnpackReport
from rigl_tf.export.litert.xnnpack import xnnpack_report
from rigl_tf.export.saving import ExportReport
from rigl_tf.export.saving import save

__all__ = [
    "ExportReport",
    "XnnpackReport",
    "load_compact",
    "save",
    "save_compact",
    "xnnpack_report",
]
