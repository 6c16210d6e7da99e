"""Describe each method from its gin file and the docstring of its class.

The sources are read and not imported, so that `rigl_tf methods` starts fast.
"""

import ast
from collections.abc import Mapping
import dataclasses
from importlib import resources
import inspect
import pathlib
import re

from rigl_tf import text_tables
from rigl_tf.experiments import config

HEADINGS = (
    "Drop",
    "Grow",
    "First mask",
    "Cost",
    "Hyper-parameters",
    "Deviations",
    "Reference",
)
_UPDATERS = pathlib.Path(str(resources.files("rigl_tf"))) / "updaters"


@dataclasses.dataclass(frozen=True)
class Card:
    """The description of a method.

    Attributes:
        name: name of the gin file.
        summary: first line of the gin file.
        updater: name of the class, or None for dense training.
        source: file of the class below rigl_tf/updaters, or None.
        text: docstring of the class, or "".
        fields: dictionary from each of `HEADINGS` to its text.
    """

    name: str
    summary: str
    updater: str | None
    source: str | None
    text: str
    fields: Mapping[str, str]


def read_all() -> list[Card]:
    """Return the cards of all shipped methods, sorted by name."""
    classes = _classes()
    return [_read(name, classes) for name in config.shipped("methods")]


def find(name: str) -> Card:
    """Return the card of a method.

    Args:
        name: name of the method, such as "rigl" or "methods/rigl".

    Raises:
        config.ConfigError: if there is no such method.
    """
    cards = {card.name: card for card in read_all()}
    name = name.removeprefix("methods/")
    if name not in cards:
        raise config.ConfigError(
            f"No method {name!r}; there are {', '.join(cards)}"
        )
    return cards[name]


def markdown() -> str:
    """Return the table of all methods as Markdown."""
    header = ["method", "what it does", "drops", "grows"]
    header += ["training FLOPs", "class"]
    lines = []
    for card in read_all():
        cells = [f"`methods/{card.name}`", card.summary]
        if card.updater is None:
            cells += ["–", "–", "3 f_D per step", "–"]
        else:
            cells += [
                _first_clause(card.fields[heading])
                for heading in ("Drop", "Grow", "Cost")
            ]
            link = f"rigl_tf/updaters/{card.source}"
            cells.append(f"[`{card.updater}`]({link})")
        lines.append(cells)
    return text_tables.markdown(header, lines)


def _read(word: str, classes: Mapping[str, tuple[str, str]]) -> Card:
    """Read the card of one method."""
    text = (config.directory() / f"{word}.gin").read_text(encoding="utf-8")
    summary = text.splitlines()[0].removeprefix("# ").rstrip(".")
    name = word.removeprefix("methods/")
    found = re.search(r"updater = @updaters\.(\w+)\(\)", text)
    if not found:
        return Card(name, summary, None, None, "", {})
    source, doc = classes[found[1]]
    return Card(name, summary, found[1], source, doc, _fields(doc))


def _classes() -> dict[str, tuple[str, str]]:
    """Map the name of each class to its file and docstring."""
    found = {}
    for file in sorted(_UPDATERS.glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                doc = inspect.cleandoc(ast.get_docstring(node) or "")
                found[node.name] = (file.name, doc)
    return found


def _fields(doc: str) -> dict[str, str]:
    """Map each heading in a docstring to its text, on one line."""
    names = "|".join(HEADINGS)
    pattern = rf"(?ms)^({names}): (.*?)(?=^(?:{names}|Attributes): ?|^$|\Z)"
    return {
        name: " ".join(text.split()) for name, text in re.findall(pattern, doc)
    }


def _first_clause(text: str) -> str:
    """Return a text up to the first stop, without references to the paper."""
    text = re.sub(r" \((?:paper|appendix)[^)]*\)", "", text)
    return re.split(r"[.;:](?: |$)", text)[0].replace("Delta T", "ΔT")
