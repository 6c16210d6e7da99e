r"""Train on a Cloud TPU VM, through preemptions: create, install, run, delete.

    python scripts/cloud_tpu.py all --name=rigl --zone=us-central2-b \
        --accelerator=v4-8 --spot -- \
        tasks/imagenet_resnet50 methods/rigl hardware/tpu SPARSITY=0.8 \
        --workdir=gs://bucket/runs/rigl80

`create`, `install`, `run` and `delete` do one thing; `run` goes on after a
preemption with a new TPU, until the run is done; `all` does all four. With
--dry_run the commands are printed instead. Needs `gcloud`, logged in, and a
work directory in a bucket of the TPU's region.

A pod slice (--pod) is driven from its worker 0, and needs a --version whose
runtime has the TensorFlow version of the package tensorflow-tpu.
"""

import argparse
import pathlib
import shlex
import subprocess
import sys
import time

_ROOT = pathlib.Path(__file__).parent.parent
# tensorflow-tpu brings TensorFlow itself: rigl_tf and what would ask for the
# ordinary package come without their dependencies.
_INSTALL = """\
set -e
python3 -m pip install --quiet --user uv
python3 -m uv venv --quiet --allow-existing --python 3.12 ~/rigl_venv
install="python3 -m uv pip install --quiet --python ~/rigl_venv/bin/python"
$install "tensorflow-tpu>=2.20" tensorflow-datasets importlib_resources \
absl-py gin-config scikit-learn dm-tree six
$install --no-deps tensorflow-model-optimization tf-keras ~/rigl_tf-*.whl"""
# Of a VM that is gone; any other may be training.
_GONE = ("PREEMPTED", "TERMINATED", "NOT_FOUND")
_PAUSE = 60  # between two attempts [s]


class CloudTpu:
    """The commands of one TPU VM.

    Args:
        flags: parsed flags.
    """

    def __init__(self, flags):
        self._flags = flags

    def create(self):
        """Create the TPU VM; return the exit code."""
        flags = self._flags
        return self._gcloud(
            "create",
            flags.name,
            f"--accelerator-type={flags.accelerator}",
            f"--version={flags.version}",
            *(["--spot"] if flags.spot else []),
        )

    def install(self):
        """Put this checkout and tensorflow-tpu onto every worker of the VM."""
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        code = self._call([*build, f"--wheel-dir={_ROOT / 'dist'}", str(_ROOT)])
        wheels = sorted((_ROOT / "dist").glob("rigl_tf-*.whl"))
        wheel = wheels[-1] if wheels else _ROOT / "dist/rigl_tf-VERSION.whl"
        target = f"{self._flags.name}:"
        return (
            code
            or self._gcloud("scp", str(wheel), target, "--worker=all")
            or self._ssh("all", _INSTALL)
        )

    def run(self):
        """Train; after a preemption, on a new TPU; return the exit code."""
        environment = ""
        if self._flags.data_dir:
            data_dir = shlex.quote(self._flags.data_dir)
            environment += f"TFDS_DATA_DIR={data_dir} "
        if self._flags.pod:
            environment += f"TPU_NAME={self._flags.name} TPU_LOAD_LIBRARY=0 "
        words = list(self._flags.words)
        if self._flags.pod:
            words.append(f"TPU={self._flags.name}")
        # A run whose connection was lost may still be there.
        command = f"{environment}flock --wait 900 ~/.rigl_tf.lock "
        command += f"~/rigl_venv/bin/rigl_tf train {shlex.join(words)}"
        for _ in range(self._flags.restarts + 1):
            code = self._ssh("0", command)
            if code in (0, 2) or self._flags.dry_run:
                return code
            if self._state() in _GONE:
                self.delete()
                if self.create() or self.install():
                    time.sleep(_PAUSE)  # there may be none to be had
        return code

    def delete(self):
        """Delete the TPU VM; return the exit code."""
        return self._gcloud("delete", self._flags.name, "--quiet")

    def all(self):
        """Create, install, run, delete; return the exit code of the run."""
        try:
            code = self.create() or self.install() or self.run()
        finally:
            deleted = self.delete()
        return code or deleted

    def _state(self):
        """Return the state of the VM, "" if nobody answers."""
        words = self._words(
            "describe", self._flags.name, "--format=value(state)"
        )
        found = subprocess.run(words, capture_output=True, text=True)
        if "NOT_FOUND" in found.stderr:
            return "NOT_FOUND"
        return found.stdout.strip()

    def _ssh(self, worker, command):
        return self._gcloud(
            "ssh",
            self._flags.name,
            f"--worker={worker}",
            f"--command={command}",
        )

    def _gcloud(self, *words):
        return self._call(self._words(*words))

    def _words(self, *words):
        where = [f"--zone={self._flags.zone}"]
        if self._flags.project:
            where.append(f"--project={self._flags.project}")
        return ["gcloud", "compute", "tpus", "tpu-vm", *words, *where]

    def _call(self, words):
        print(shlex.join(words), flush=True)
        return 0 if self._flags.dry_run else subprocess.call(words)


def main(argv=None):
    """Parse, and do what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = ("create", "install", "run", "delete", "all")
    parser.add_argument("action", choices=actions)
    parser.add_argument("--name", required=True, help="of the TPU VM")
    parser.add_argument("--zone", required=True)
    parser.add_argument("--project", help="default: that of gcloud")
    parser.add_argument("--accelerator", default="v4-8", help="e.g. v4-8")
    parser.add_argument("--version", default="tpu-ubuntu2204-base")
    parser.add_argument("--spot", action="store_true", help="preemptible")
    parser.add_argument("--pod", action="store_true", help="several hosts")
    parser.add_argument("--restarts", type=int, default=100, metavar="N")
    parser.add_argument("--data_dir", help="of tensorflow_datasets, e.g. gs://")
    parser.add_argument("--dry_run", action="store_true")
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    flags = parser.parse_args(argv[:end])
    flags.words = argv[end + 1 :]
    if flags.action in ("run", "all") and not flags.words:
        parser.error("name what to train after `--`")
    return getattr(CloudTpu(flags), flags.action)()


if __name__ == "__main__":
    sys.exit(main())
