"""The wheel holds what a run needs, and nothing else."""

import os
import pathlib
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).parents[2]


SHORT = ["TRAIN_STEPS=6", "UPDATE_END_STEP=4", "UPDATE_INTERVAL=2"]


RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98", *SHORT]


def test_the_wheel_trains_from_another_directory(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    build += ["--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path)]
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    for name in tracked or []:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*build, str(source)], check=True)
    (wheel,) = tmp_path.glob("rigl_tf-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "rigl_tf/configs/base.gin" in names
    assert "rigl_tf/accounting/tables/data/published_counts.csv" in names
    shipped = {n for n in names if n.startswith("rigl_tf/configs/")}
    assert len(shipped) == len(list((ROOT / "configs").rglob("*.*")))
    assert not any(name.startswith(("tests", "configs")) for name in names)
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps"]
    install += ["--no-index", "--quiet", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys, rigl_tf, rigl_tf.cli;"
        f"assert rigl_tf.__file__.startswith({str(target)!r});"
        "sys.exit(rigl_tf.cli.main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "train", *RIGL, "--workdir=w"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert (elsewhere / "w" / "result.json").exists()
