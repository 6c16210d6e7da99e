"""Every block of the README is run, as the comment above it says.

`run`: as it stands. `shortened`: training commands with few steps. `dry_run`:
set-up scripts are checked for syntax, sweeps expanded, Python compiled. `file`:
written under the name in its first line, for the commands to use.
"""

import pathlib
import re
import shlex
import subprocess

import pytest

from rigl_tf import cli
from rigl_tf.experiments import config

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"<!-- test: (run|shortened|dry_run|file) -->\n```(\w*)\n(.*?)```",
    re.DOTALL,
)
BLOCKS = BLOCK.findall(TEXT)
SHORT = ["TRAIN_STEPS=4", "UPDATE_END_STEP=2", "UPDATE_INTERVAL=1"]


def commands(code):
    for line in code.replace("\\\n", " ").splitlines():
        line = re.split(r" [|>] ", line)[0].strip()
        if line and not line.startswith(("#", "for ", "do", "done")):
            yield shlex.split(line, comments=True)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Run in an empty directory that holds the README's files."""
    for how, _, code in BLOCKS:
        if how == "file":
            name = code.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")


def test_every_block_of_code_is_tagged():
    opened = re.findall(r"(?m)^```(\w*)$", TEXT)[::2]
    assert len(opened) - opened.count("bibtex") == len(BLOCKS) > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "how, code",
    [(how, code) for how, language, code in BLOCKS if language == "bash"],
)
def test_commands_work(how, code, here, request):
    if "train tasks/mnist" in code and how != "dry_run":
        request.getfixturevalue("tfds_dir")
    for words in commands(code):
        if words[0].endswith(".sh"):
            script = ROOT / words[0]
            assert script.stat().st_mode & 0o100
            subprocess.run(["bash", "-n", str(script)], check=True)
        elif words[0] == "rigl_tf":
            run_command(how, words[1:])
        else:
            assert words[0] == "python" and (ROOT / words[1]).exists()


def run_command(how, words):
    if how == "shortened" and words[0] == "train":
        words = [*words, *SHORT]
    if how != "dry_run":
        assert cli.main(words) == 0
    elif words[0] == "sweep":
        assert cli.main([*words, "--dry_run"]) == 0
    elif words[0] == "train":
        config.read([w for w in words[1:] if not w.startswith("--")])
    else:
        cli._parse(words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how, code",
    [(how, code) for how, language, code in BLOCKS if language == "python"],
)
def test_python_works(how, code, here):
    compiled = compile(code, "README.md", "exec")
    if how == "run":
        exec(compiled, {})


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_knobs_in_the_header_are_those_of_base_gin():
    text = (ROOT / "configs" / "base.gin").read_text(encoding="utf-8")
    documented = re.findall(r"(?m)^#   ([A-Z_0-9]+) ", text)
    used = set(re.findall(r"%([A-Z_0-9]+)", text))
    used |= set(re.findall(r"(?m)^([A-Z_0-9]+) =", text))
    assert set(documented) == used
