"""Build and check TF_CONFIG; imports no TensorFlow."""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import re


def check_tf_config(text: str) -> None:
    """Raise ValueError unless TF_CONFIG names the workers and this process."""
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


def tf_config(workers: Sequence[str], index: int) -> str:
    """Return the `TF_CONFIG` of one of several workers.

    Args:
        workers: addresses host:port, the chief's first.
        index: index of this process, from 0.

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


def of_slurm(variables: Mapping[str, str], port: int) -> str | None:
    """Return the `TF_CONFIG` of a task of a Slurm step.

    Ranks go through the nodes in Slurm's order, the first tasks on the first
    node (`--distribution=block`).

    Args:
        variables: mapping with SLURM_PROCID, SLURM_STEP_NODELIST and
            SLURM_STEP_TASKS_PER_NODE.
        port: first port of each node.
    """
    hosts = _expand_hosts(variables["SLURM_STEP_NODELIST"])
    counts = []
    for part in variables["SLURM_STEP_TASKS_PER_NODE"].split(","):
        count, _, times = part.rstrip(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    addresses = [
        f"{host}:{port + index}"
        for host, count in zip(hosts, counts)
        for index in range(count)
    ]
    return tf_config(addresses, int(variables["SLURM_PROCID"]))


def _expand_hosts(text):
    """Expand Slurm's lists: "gpu[01-03,7],login" -> ["gpu01", ...]."""
    hosts = []
    for prefix, ranges in re.findall(r"([^,\[]+)(?:\[([^\]]*)\])?", text):
        for part in ranges.split(",") if ranges else [None]:
            if part is None:
                hosts.append(prefix)
                continue
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.append(f"{prefix}{number:0{len(first)}d}")
    return hosts
