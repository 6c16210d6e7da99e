import os
import platform
import sys

import pytest

from rigl_tf.experiments import one_dnn


@pytest.fixture(autouse=True)
def x86(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv(one_dnn.VARIABLE, "")  # what a test sets is removed
    monkeypatch.delenv(one_dnn.VARIABLE)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_it_is_on_unless_the_user_decides(monkeypatch):
    assert one_dnn.state() == "default"
    one_dnn.prefer()
    assert one_dnn.state() == "on"
    monkeypatch.setenv(one_dnn.VARIABLE, "0")
    one_dnn.prefer()
    assert one_dnn.state() == "off"


@pytest.mark.parametrize("reason", ["another processor", "too late"])
def test_it_stays_as_it_is(monkeypatch, reason):
    if reason == "too late":
        monkeypatch.setitem(sys.modules, "tensorflow", object())
    else:
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    one_dnn.prefer()
    assert one_dnn.VARIABLE not in os.environ
