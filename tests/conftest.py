"""Set-up of all tests: two CPU devices, quiet start, data, tiers, time."""

import gc
import os
import pathlib
import time

import keras
import pytest
import tensorflow as tf

from rigl_tf.training.hardware import strategies

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tensors are tiny here: more threads per operation get in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

_PROCESSES = pathlib.Path(__file__).with_name("processes")
# Of the processor, since the wait is several times as long on a busy machine.
# Tests of the default tier should take at most 5; some machines are slower.
_MOST_SECONDS = 20


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items):
    """Mark all tests in the folder `processes`; report the tier of each."""
    for item in items:
        if item.path.is_relative_to(_PROCESSES):
            item.add_marker("process")
        item.user_properties.append(("tier", _tier(item)))


def pytest_collection_finish(session):
    """Report how many tests must run; collect no garbage among modules."""
    for item in session.items:
        item.user_properties.append(("selected", len(session.items)))
    gc.collect()
    gc.freeze()
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Collect the garbage of each test at once, and nothing else.

    Collections in between visited all graphs again and again. And iterators of
    tf.data that became garbage long ago may take as long as they have lived to
    be deleted: TensorFlow (2.21) wakes their tuning thread before it says that
    the iterator is cancelled, so the thread may sleep on.
    """
    gc.collect()
    gc.freeze()


def _tier(item):
    for name in ("process", "slow"):
        if item.get_closest_marker(name):
            return name
    return "default"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """With CI=true, fail tests of the default tier that compute for long."""
    began = time.process_time()
    result = yield
    seconds = time.process_time() - began
    limited = os.environ.get("CI") == "true" and _tier(item) == "default"
    if limited and seconds > _MOST_SECONDS:
        pytest.fail(
            f"A test of the default tier must take at most {_MOST_SECONDS} s "
            f"of the processor. Received: {seconds:.0f} s. Mark it slow "
            f"(`pytest.mark.slow`), or some of its cases (`params.cover`)."
        )
    return result


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
    return strategies.cpu(devices=2)


@pytest.fixture(scope="session")
def tfds_dir():
    """Return the directory of prepared data sets, or skip without CI."""
    return _directory("TFDS_DATA_DIR", "mnist")


@pytest.fixture(scope="session")
def text_dir():
    """Return the directory of texts, or skip without CI."""
    return _directory("RIGL_TF_TEXT_DIR", "wikitext-103")


def _directory(variable, content):
    directory = os.environ.get(variable)
    if directory and (pathlib.Path(directory) / content).is_dir():
        return directory
    if os.environ.get("CI") == "true":
        pytest.fail(f"{variable} must hold {content} when CI=true")
    pytest.skip(f"needs {variable} with {content}")
