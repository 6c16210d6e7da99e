"""Sweeps that train several runs at a time."""

from rigl_tf import cli

SHORT = "TRAIN_STEPS=4 UPDATE_END_STEP=2 UPDATE_INTERVAL=1"


def test_real_runs_at_a_time(tmp_path):
    file = tmp_path / "two.txt"
    file.write_text(
        f"first: tasks/digits_mlp methods/rigl SPARSITY=0.9 {SHORT}\n"
        f"tasks/digits_mlp methods/lottery {SHORT} "
        "INITIAL_RUN=@first INITIAL_MASKS=@first\n",
        encoding="utf-8",
    )
    words = ["sweep", str(file), f"--workdir={tmp_path / 'runs'}", "--jobs=2"]
    assert cli.main(words) == 0
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 2
    assert cli.main([*words, "--jobs=0"]) == 2
