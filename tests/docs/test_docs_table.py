"""Tables of commands go into the page that has their markers."""

import io
import re

import docs_table
import pytest

BLOCK = "a\n<!-- table: x -->\nold\n<!-- end of table -->\nb\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("none\n", encoding="utf-8")
    (tmp_path / "file.py").write_text("", encoding="utf-8")
    (tmp_path / "docs" / "page.md").write_text(BLOCK, encoding="utf-8")
    return tmp_path


def test_the_page_is_found_by_its_markers(root):
    assert docs_table.find("x", root) == root / "docs" / "page.md"
    with pytest.raises(ValueError, match="One page must hold.*'y'"):
        docs_table.find("y", root)
    (root / "README.md").write_text(BLOCK, encoding="utf-8")
    with pytest.raises(ValueError, match="One page must hold.*README.*page"):
        docs_table.find("x", root)


def test_links_to_files_are_made_relative_to_the_page(root):
    table = "[a](file.py) [b](https://x.org) [c](missing.py)"
    page = root / "docs" / "page.md"
    assert docs_table.relative_links(table, page, root) == (
        "[a](../file.py) [b](https://x.org) [c](missing.py)"
    )
    top = root / "README.md"
    assert docs_table.relative_links(table, top, root) == table


def test_a_table_is_written_with_its_caption(root, monkeypatch):
    monkeypatch.setattr(docs_table.find, "__defaults__", (root,))
    monkeypatch.setattr(docs_table.relative_links, "__defaults__", (root,))
    monkeypatch.setattr("sys.argv", ["docs_table", "x", "--command", "cmd"])
    monkeypatch.setattr("sys.stdin", io.StringIO("[a](file.py)\n"))
    docs_table.main()
    written = (root / "docs" / "page.md").read_text(encoding="utf-8")
    assert re.fullmatch(
        r"a\n<!-- table: x -->\n\[a\]\(../file.py\)\n\n`cmd`, \d+ CPU cores "
        r"\(\w+\), \d{4}-\d\d-\d\d\.\n<!-- end of table -->\nb\n",
        written,
    )
