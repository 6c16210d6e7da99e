"""Another process, with another salt of `hash`, draws and decides alike."""

import json
import os
import subprocess
import sys

import digests


def test_another_process_decides_alike():
    """First masks, every method and pattern, with another salt of `hash`."""
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
