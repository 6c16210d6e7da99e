"""Turn the docstrings of the package into reStructuredText for Sphinx.

They are written to be read as they stand: code in single backticks, |w| for a
magnitude, indented examples, and the headings of a method's card.
"""

import re

CARD = (
    "Drop",
    "Grow",
    "First mask",
    "Cost",
    "Hyper-parameters",
    "Deviations",
    "Reference",
)
# Sections that napoleon reads.
SECTIONS = ("Args:", "Arguments:", "Attributes:", "Raises:", "Returns:")


def setup(app):
    """Register; before napoleon, which has the usual priority of 500."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}


def process(app, what, name, obj, options, lines):
    """Replace the lines of a docstring."""
    lines[:] = convert("\n".join(lines)).split("\n")


def convert(text):
    """Return a docstring as reStructuredText with napoleon's sections."""
    start = re.search(rf"(?m)^({'|'.join(SECTIONS)})", text)
    head, rest = (text, "") if start is None else _cut(text, start.start())
    return _escape(_cards(_examples(head))) + _escape(rest)


def _cut(text, place):
    return text[:place], text[place:]


def _examples(text):
    """Put `::` before indented blocks that follow an empty line."""
    return re.sub(
        r"(?m)^(\S.*)\n\n(?= {4}\S)", lambda m: f"{m[1]}\n\n::\n\n", text
    )


def _cards(text):
    """Turn the headings of a card into a list of fields."""
    names = "|".join(CARD)
    if not re.search(r"(?m)^Drop: ", text):
        return text
    return re.sub(rf"(?m)^({names}): ", r":\1: ", text)


def _escape(text):
    """Escape what means something outside of code."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(
            r"(\|)|(?<![\w*])(\*)(?=\w)|(?<=[A-Za-z0-9])(_)(?!\w)",
            lambda m: "\\" + m[0],
            parts[index],
        )
    return "`".join(parts)
