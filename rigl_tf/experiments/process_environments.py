"""Share the cores and GPUs of a machine among training processes."""

from collections.abc import Iterator
from collections.abc import Mapping
import itertools
import os
import pathlib
import re
import shutil
import subprocess

_NO_DEVICE = ("", "-1", "NoDevFiles")


def shared(
    n_processes: int, environment: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return an environment for each process: cores and GPUs shared evenly.

    By default TensorFlow takes all cores, and all memory of all GPUs, in every
    process. Here each process gets an equal number of GPUs, at least one. A
    process allocates the memory of GPUs as it needs it.

    Args:
        n_processes: number of processes that train at the same time, at least
            1.
        environment: variables of all processes. TF_NUM_INTRAOP_THREADS and
            TF_FORCE_GPU_ALLOW_GROWTH are kept if they are set.

    Returns:
        A list of environments, one per process.
    """
    n_threads = max(1, (os.cpu_count() or 1) // n_processes)
    common = {"TF_NUM_INTRAOP_THREADS": str(n_threads)}
    devices = gpus(environment)
    if devices:
        common["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    # The same number for all, so that runs have the same number of replicas.
    n_each = max(1, len(devices) // n_processes) if devices else 0
    endless: Iterator[str] = itertools.cycle(devices)
    environments = []
    for _ in range(n_processes):
        own = {**common, **environment}
        if devices:
            dealt = itertools.islice(endless, n_each)
            own["CUDA_VISIBLE_DEVICES"] = ",".join(dealt)
        environments.append(own)
    return environments


def gpus(environment: Mapping[str, str]) -> list[str]:
    """List the GPUs that TensorFlow would see, as in CUDA_VISIBLE_DEVICES.

    Args:
        environment: environment variables. Without CUDA_VISIBLE_DEVICES, the
            GPUs that NVIDIA's driver lists are returned.
    """
    if "CUDA_VISIBLE_DEVICES" in environment:
        given = environment["CUDA_VISIBLE_DEVICES"].split(",")
        names = (name.strip() for name in given)
        # CUDA ignores everything after an invalid name.
        return list(itertools.takewhile(lambda n: n not in _NO_DEVICE, names))
    text = _driver_list()
    if text is None:
        cards = pathlib.Path("/proc/driver/nvidia/gpus").glob("*")
        return [str(index) for index, _ in enumerate(cards)]
    # The index of a divided (MIG) GPU would name only its first slice.
    slices = re.findall(r"\(UUID: (MIG-[^)]+)\)", text)
    return slices or re.findall(r"(?m)^GPU (\d+):", text)


def _driver_list() -> str | None:
    """Return the output of `nvidia-smi -L`, or None if it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
