"""The commands `count`, `table`, `methods` and `doctor`."""

import argparse
import json
from typing import Any
import zipfile

from rigl_tf.experiments import allow_list
from rigl_tf.experiments import config
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import method_cards
from rigl_tf.experiments import session
from rigl_tf.experiments import terminal


def doctor(arguments: argparse.Namespace) -> int:
    """Say what this machine has for truly sparse layers, and time it."""
    del arguments
    with exit_codes.mistakes():
        with session.quiet_start():
            import tensorflow as tf

            from rigl_tf.sparse import doctor as sparse_doctor

            tf.constant(0)  # start-up lines
        lines = sparse_doctor.examine()
    print("\n".join(lines))
    return 0


def methods(arguments: argparse.Namespace) -> int:
    """List all methods, or show the card of one."""
    with exit_codes.mistakes():
        if arguments.name is None:
            print(method_cards.markdown())
        else:
            card = method_cards.find(arguments.name)
            print(f"methods/{card.name}: {card.summary}.")
            print(f"\n{card.text or 'Dense training, without a mask updater.'}")
    return 0


def count(arguments: argparse.Namespace) -> int:
    """Count operations, parameters and bytes."""
    with exit_codes.mistakes():
        if arguments.model is not None and not arguments.words:
            counts = _count_file(arguments)
        elif arguments.model is not None or arguments.input_shape is not None:
            raise ValueError(
                "`count` takes either words, or --model with --input_shape. "
                f"Received: {' '.join(arguments.words)}, "
                f"--model={arguments.model}, "
                f"--input_shape={arguments.input_shape}"
            )
        else:
            counts = _count_words(arguments)
    if arguments.json:
        print(json.dumps(counts, indent=1))
        return 0
    terminal.print_costs(counts["costs"])
    if counts.get("layers"):
        print()
        terminal.print_layers(counts["layers"])
    terminal.print_totals(counts)
    return 0


def _count_words(arguments: argparse.Namespace) -> dict[str, Any]:
    experiment = session.build_experiment(
        config.read(arguments.words, arguments.imports)
    )
    from rigl_tf.experiments import counting

    return counting.count(experiment, arguments.rule)


def _count_file(arguments: argparse.Namespace) -> dict[str, Any]:
    shape = None
    if arguments.input_shape is not None:
        sizes = arguments.input_shape.split(",")
        if not all(size.isdecimal() and int(size) for size in sizes):
            raise ValueError(
                "`--input_shape` must be sizes of at least 1, e.g. 224,224,3. "
                f"Received: {arguments.input_shape!r}"
            )
        shape = tuple(map(int, sizes))
    if not zipfile.is_zipfile(arguments.model):
        raise ValueError(
            "`--model` must be a .keras file. "
            f"Received: {arguments.model!r}, which is not"
        )
    with session.quiet_start():
        from rigl_tf.experiments import counting

        allow_list.import_modules(arguments.imports)
        return counting.count_file(arguments.model, arguments.rule, shape)


def table(arguments: argparse.Namespace) -> int:
    """Print a table of the paper; without a name, list the tables."""
    with exit_codes.mistakes(), session.quiet_start():
        from rigl_tf.accounting import tables

        if arguments.name is None:
            text = "\n".join(tables.BY_NAME)
        elif arguments.name in tables.BY_NAME:
            text = tables.markdown(arguments.name)
        else:
            raise ValueError(
                f"There are the tables {', '.join(tables.BY_NAME)}. "
                f"Received: {arguments.name!r}"
            )
    print(text)
    return 0
