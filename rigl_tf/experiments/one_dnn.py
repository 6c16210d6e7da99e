"""Switch on oneDNN, a library of faster operations on CPUs.

No TensorFlow is imported here: it reads the variable when it is imported.
"""

import os
import platform
import sys

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def prefer() -> None:
    """Let TensorFlow use oneDNN on x86 CPUs, unless the user decided already.

    By itself, it does so only on CPUs with instructions for neural networks
    (AVX-512 VNNI and later). Results differ in their last bits.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    if is_x86 and "tensorflow" not in sys.modules:
        os.environ.setdefault(VARIABLE, "1")


def state() -> str:
    """Return "on", "off", or "default" where TensorFlow decides."""
    value = os.environ.get(VARIABLE)
    return {None: "default", "0": "off", "false": "off"}.get(value, "on")
