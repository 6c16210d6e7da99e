"""Cards of methods: complete, and shown by the command."""

import inspect

import method_rows
import pytest

from rigl_tf import cli
from rigl_tf import updaters
from rigl_tf.experiments import method_cards

CARDS = method_cards.read_all()


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_cards_are_complete(card):
    assert card.summary
    if card.updater is None:
        assert card.name in ("dense", "small_dense")
        return
    assert set(card.fields) == set(method_cards.HEADINGS)
    assert all(len(text) > 3 for text in card.fields.values())
    # A year, or the original code: where it comes from.
    reference = card.fields["Reference"]
    assert any(c.isdigit() for c in reference) or "original" in reference


def test_every_method_class_has_a_file():
    classes = {
        name
        for name, cls in vars(updaters).items()
        if inspect.isclass(cls)
        and issubclass(cls, updaters.MaskUpdater)
        and name not in ("MaskUpdater", "DropAndGrow")
    }
    assert {card.updater for card in CARDS} - {None} == classes


def test_every_method_is_tested_by_the_batteries():
    tested = {type(m.build()).__name__ for m in method_rows.METHODS}
    assert {card.updater for card in CARDS} - {None} <= tested


def test_the_command_shows_a_card(capsys):
    assert cli.main(["methods", "rigl_sm"]) == 0
    shown = capsys.readouterr().out
    assert "Algorithm 1" in shown and "methods/rigl_sm" in shown
    assert cli.main(["methods", "methods/dense"]) == 0


def test_an_unknown_method_is_refused(capsys):
    assert cli.main(["methods", "rigel"]) == 2
    assert "there are acdc, " in capsys.readouterr().err
