"""Another process, with another salt of `hash`, draws and decides alike."""

import json
import os
import subprocess
import sys

import digests

from rigl_tf.masks import draws
from rigl_tf.masks import patterns

_DRAW = """
from rigl_tf.masks import draws
from rigl_tf.masks import patterns
seed = draws.stateless_seed(3, "layers/0/kernel", "grow", 7)
print(seed.numpy().tolist())
mask = patterns.UNSTRUCTURED.top(draws.uniform_scores((6, 7), seed), 11)
print(mask.numpy().reshape(-1).tolist())
"""


def test_another_process_decides_alike():
    """Every method and pattern, with another salt of `hash`."""
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    finished = subprocess.run(
        [sys.executable, digests.__file__],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(finished.stdout.splitlines()[-1])
    assert theirs == digests.digests()


def test_another_process_draws_the_same_mask():
    process = subprocess.run(
        [sys.executable, "-c", _DRAW],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
        text=True,
    )
    seed = draws.stateless_seed(3, "layers/0/kernel", "grow", 7)
    mask = patterns.UNSTRUCTURED.top(draws.uniform_scores((6, 7), seed), 11)
    theirs = process.stdout.splitlines()[-2:]
    assert theirs == [
        str(seed.numpy().tolist()),
        str(mask.numpy().reshape(-1).tolist()),
    ]
