"""Who the workers of a run are, without TensorFlow."""

import json


def check_tf_config(text):
    """Raise ValueError if TF_CONFIG does not say who is who."""
    try:
        config = json.loads(text)
        task = config["task"]
        jobs = config["cluster"]
        sound = 0 <= task["index"] < len(jobs[task["type"]])
        sound = sound and set(jobs) <= {"chief", "worker"}
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise ValueError(
            'TF_CONFIG must read {"cluster": {"worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": 0}}, with an index for each '
            f"worker. Received: {text!r}"
        )


def tf_config(workers, index):
    """Return the `TF_CONFIG` of one of several workers.

    Args:
        workers: addresses host:port, the chief's first.
        index: which of them this process is, from 0.

    Raises:
        ValueError: an address or the index is wrong.
    """
    for address in workers:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(
                "`--workers` takes addresses host:port,host:port. "
                f"Received: {address!r}"
            )
    if not 0 <= index < len(workers):
        raise ValueError(
            f"`--worker` must be in [0, {len(workers)}), one of --workers. "
            f"Received: {index}"
        )
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})
