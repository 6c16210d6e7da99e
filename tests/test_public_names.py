"""The public names, and their stub."""

import ast
import pathlib
import pydoc

import rigl_tf


def test_names_can_be_completed():
    names = dir(rigl_tf)
    assert set(rigl_tf.__all__) <= set(names)
    assert all(n in rigl_tf.__all__ or n.startswith("__") for n in names)
    assert "sparsify" in pydoc.render_doc(rigl_tf)


def test_the_stub_offers_the_same_names():
    """Names, and where they come from."""
    stub = pathlib.Path(rigl_tf.__file__).with_suffix(".pyi")
    homes = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                homes[alias.asname] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign):
            homes[node.targets[0].id] = homes.pop(node.value.id)
    assert homes == {
        **{
            name: f"rigl_tf.{home}.{name}"
            for name, home in rigl_tf._HOMES.items()
        },
        **{name: f"rigl_tf.{path}" for name, path in rigl_tf._MODULES.items()},
    }
