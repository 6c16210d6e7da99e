"""Docstrings become reStructuredText that Sphinx reads."""

import importlib.util
import pathlib

FILE = pathlib.Path(__file__).parent.parent.parent / "docs" / "docstrings.py"
spec = importlib.util.spec_from_file_location("docs_docstrings", FILE)
docstrings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docstrings)


def test_cards_become_fields():
    text = "One line.\n\nDrop: the least |w|.\nFirst mask: random,\n    so."
    assert docstrings.convert(text) == (
        "One line.\n\n:Drop: the least \\|w\\|.\n:First mask: random,\n    so."
    )


def test_headings_elsewhere_are_text():
    text = "One line.\n\nReference: a paper.\nMore."
    assert docstrings.convert(text) == text


def test_examples_become_code():
    assert docstrings.convert("A line:\n\n    f(x)\n\nArgs:\n    x: it.") == (
        "A line:\n\n::\n\n    f(x)\n\nArgs:\n    x: it."
    )


def test_code_stays_and_signs_are_escaped():
    text = "`a|b*c_` is |a| * *b c_\n\nArgs:\n    x: |x|, `|x|`."
    assert docstrings.convert(text) == (
        "`a|b*c_` is \\|a\\| * \\*b c\\_\n\nArgs:\n    x: \\|x\\|, `|x|`."
    )
