"""Environments of processes that train at the same time on one machine."""

import itertools
import os
import pathlib
import re
import shutil
import subprocess

_NO_DEVICE = ("", "-1", "NoDevFiles")


def shared(n_processes, environment):
    """Return an environment for each process: cores and GPUs shared evenly.

    By itself TensorFlow takes all cores, and all memory of all GPUs, in every
    process. A process gets its share of the GPUs, at least one; processes that
    have to share one allocate memory as they need it.

    Args:
        n_processes: how many train at the same time, at least 1.
        environment: dictionary of the variables that all get. The user's
            TF_NUM_INTRAOP_THREADS and TF_FORCE_GPU_ALLOW_GROWTH are kept.

    Returns:
        list of dictionaries.
    """
    n_threads = max(1, (os.cpu_count() or 1) // n_processes)
    common = {"TF_NUM_INTRAOP_THREADS": str(n_threads)}
    devices = gpus(environment)
    if devices:
        common["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    # All get equally many, so that runs do not differ by their replicas.
    n_each = max(1, len(devices) // n_processes) if devices else 0
    endless = itertools.cycle(devices)
    environments = []
    for _ in range(n_processes):
        own = {**common, **environment}
        if devices:
            dealt = itertools.islice(endless, n_each)
            own["CUDA_VISIBLE_DEVICES"] = ",".join(dealt)
        environments.append(own)
    return environments


def gpus(environment):
    """List the GPUs that TensorFlow would see, as CUDA_VISIBLE_DEVICES does.

    Args:
        environment: dictionary of variables. CUDA_VISIBLE_DEVICES counts if it
            is set; otherwise NVIDIA's driver is asked.
    """
    if "CUDA_VISIBLE_DEVICES" in environment:
        names = environment["CUDA_VISIBLE_DEVICES"].split(",")
        names = (name.strip() for name in names)
        # CUDA ignores what follows an invalid name.
        return list(itertools.takewhile(lambda n: n not in _NO_DEVICE, names))
    text = _driver_list()
    if text is None:
        cards = pathlib.Path("/proc/driver/nvidia/gpus").glob("*")
        return [str(index) for index, _ in enumerate(cards)]
    # An index would name only the first slice of a divided (MIG) GPU.
    slices = re.findall(r"\(UUID: (MIG-[^)]+)\)", text)
    return slices or re.findall(r"(?m)^GPU (\d+):", text)


def _driver_list():
    """Return what `nvidia-smi -L` prints, or None if it cannot be asked."""
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
