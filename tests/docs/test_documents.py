"""Every block of README.md and docs/*.md is run as its tag says.

`run`: as it stands. `shortened`: training commands with few steps. `dry_run`:
set-up scripts are checked for syntax, sweeps expanded, Python compiled. `file`:
written under the name in its first line, for the commands of its page to use.
"""

import importlib
import importlib.util
import pathlib
import re
import shlex
import subprocess

import docs_table
import pytest

from rigl_tf import cli
from rigl_tf.experiments import config

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
BLOCK = re.compile(
    r"<!-- test: (run|shortened|dry_run|file) -->\n```(\w*)\n(.*?)```",
    re.DOTALL,
)
BLOCKS = {name: BLOCK.findall(text) for name, text in PAGES.items()}
# Not code: citations, pseudocode and what a command printed.
TEXT = ("bibtex", "text")
SHORT = ["TRAIN_STEPS=4", "UPDATE_END_STEP=2", "UPDATE_INTERVAL=1"]


def cases(language):
    """List the blocks of a language, each with its page and place."""
    return [
        pytest.param(
            page,
            how,
            code,
            id=f"{page}-{index}",
            # They train, or start Keras' larger models.
            marks=pytest.mark.slow if how in ("run", "shortened") else (),
        )
        for page, blocks in BLOCKS.items()
        for index, (how, found, code) in enumerate(blocks)
        if found == language
    ]


def commands(code):
    for line in code.replace("\\\n", " ").splitlines():
        line = re.split(r" [|>] ", line)[0].strip()
        if line and not line.startswith(("#", "for ", "do", "done")):
            yield shlex.split(line, comments=True)


def enter(page, directory, monkeypatch):
    """Work in an empty directory that holds the files of a page."""
    for how, _, code in BLOCKS[page]:
        if how == "file":
            name = code.splitlines()[0].removeprefix("# ")
            (directory / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend("")


def test_every_block_of_code_is_tagged():
    for page, text in PAGES.items():
        opened = re.findall(r"(?m)^```(\w*)$", text)[::2]
        code = [language for language in opened if language not in TEXT]
        assert len(code) == len(BLOCKS[page]), page
    assert sum(map(len, BLOCKS.values())) > 30


@pytest.mark.slow
@pytest.mark.parametrize("page, how, code", cases("bash"))
def test_commands_work(page, how, code, tmp_path, monkeypatch, request):
    enter(page, tmp_path, monkeypatch)
    if "train tasks/mnist" in code and how != "dry_run":
        request.getfixturevalue("tfds_dir")
    for words in commands(code):
        if words[0].endswith(".sh"):
            script = ROOT / words[0]
            assert script.stat().st_mode & 0o100
            subprocess.run(["bash", "-n", str(script)], check=True)
        elif words[0] == "rigl_tf":
            run_command(how, words[1:])
        elif words[:3] == ["python", "-m", "pip"]:
            require_extras(words[-1])
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


def require_extras(what):
    """Require that the extras in `.[a,b]` are those of the package."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    for extra in re.fullmatch(r"\.\[(.*)\]", what)[1].split(","):
        assert f'"{extra}": ' in text


@pytest.mark.slow
@pytest.mark.parametrize("page, how, code", cases("python"))
def test_python_works(page, how, code, tmp_path, monkeypatch):
    enter(page, tmp_path, monkeypatch)
    compiled = compile(code, page, "exec")
    if how == "run":
        exec(compiled, {})


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Files exist, and so do the headings that a link names."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if target.startswith("http"):
            continue
        path, _, heading = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if heading:
            headings = re.findall(
                r"(?m)^#+ (.*)$", file.read_text(encoding="utf-8")
            )
            assert heading in map(anchor, headings), target


def anchor(heading):
    """Return the name by which links know a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_readme_is_short():
    assert len(PAGES["README.md"].encode()) <= 8 * 1024


def test_the_readme_names_methods_that_there_are():
    names = re.search(r"(?s)`configs/methods`: (.*?)\.\n", PAGES["README.md"])
    shipped = config.shipped("methods")
    shipped = [name.removeprefix("methods/") for name in shipped]
    assert set(names[1].replace(",", " ").split()) <= set(shipped)


def test_the_table_of_methods_is_that_of_the_command(capsys):
    assert cli.main(["methods"]) == 0
    page = docs_table.find("methods")
    table = docs_table.relative_links(capsys.readouterr().out.strip(), page)
    assert table in page.read_text(encoding="utf-8")


def test_only_tables_of_commands_hold_numbers():
    """A table of results stands between the markers of `docs_table.py`."""
    for page in ("README.md", "docs/results.md", "docs/benchmarks.md"):
        rest = re.sub(
            r"(?s)<!-- table: .*?<!-- end of table -->", "", PAGES[page]
        )
        rows = [line for line in rest.splitlines() if line.startswith("| ")]
        assert not [row for row in rows if re.search(r"\d", row)], page


def test_the_knobs_in_the_header_are_those_of_base_gin():
    text = (ROOT / "configs" / "base.gin").read_text(encoding="utf-8")
    documented = re.findall(r"(?m)^#   ([A-Z_0-9]+) ", text)
    used = set(re.findall(r"%([A-Z_0-9]+)", text))
    used |= set(re.findall(r"(?m)^([A-Z_0-9]+) =", text))
    assert set(documented) == used


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_package_exist(page):
    """Dotted names in backticks are modules, or what is in them."""
    for name in re.findall(r"`rigl_tf\.([\w.]+)[(`]", PAGES[page]):
        require_name(name)


def test_names_of_the_architecture_exist():
    """So are those that begin with a package of rigl_tf, and paths."""
    text = PAGES["docs/architecture.md"]
    packages = {p.parent.name for p in ROOT.glob("rigl_tf/*/__init__.py")}
    names = re.findall(r"`((\w+)\.[\w.]+)[(`]", text)
    names = [
        name
        for name, first in names
        if first in packages | {"cli"} and not name.endswith(".npz")
    ]
    assert len(names) > 20
    for name in names:
        require_name(name)
    for name in re.findall(r"\| \d \| (.+?) \|", text):
        for part in re.findall(r"`(\w+)`", name):
            assert importlib.util.find_spec(f"rigl_tf.{part}"), part


def require_name(name):
    """Require that a name is a module of rigl_tf, or something in one."""
    found = importlib.import_module("rigl_tf")
    for word in name.split("."):
        if not hasattr(found, word):
            importlib.import_module(f"{found.__name__}.{word}")
        found = getattr(found, word)
