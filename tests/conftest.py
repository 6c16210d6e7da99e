"""Set-up of all tests: two CPU devices, quiet start, real data if at hand."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tensors are tiny here: more threads per operation get in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import pytest
import tensorflow as tf

from rigl_tf import distribute

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(autouse=True)
def _fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def mirrored():
    """Return a strategy over both CPU devices.

    One for all tests: the collectives of two strategies in one process would
    use the same keys.
    """
    return distribute.cpu(devices=2)


@pytest.fixture(scope="session")
def tfds_dir():
    """Return the directory of prepared data sets, or skip without CI."""
    directory = os.environ.get("TFDS_DATA_DIR")
    if directory and (pathlib.Path(directory) / "mnist").is_dir():
        return directory
    if os.environ.get("CI") == "true":
        pytest.fail("TFDS_DATA_DIR must hold mnist when CI=true")
    pytest.skip("needs TFDS_DATA_DIR with mnist prepared")
