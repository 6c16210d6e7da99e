"""Every notebook runs from its first to its last cell."""

import os
import pathlib

import pytest

NOTEBOOKS = pathlib.Path(__file__).parent.parent.parent / "docs" / "notebooks"


def of_the_extra(name):
    """Import a package; if it is missing, skip the test, unless CI=true."""
    if os.environ.get("CI") == "true":
        __import__(name)
    return pytest.importorskip(name)


def names():
    return sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def test_there_are_three():
    assert names() == [
        "first_steps.ipynb",
        "your_own_method.ipynb",
        "your_own_model.ipynb",
    ]


@pytest.mark.parametrize("name", names())
def test_notebooks_are_kept_without_outputs(name):
    nbformat = of_the_extra("nbformat")
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter, which has many
@pytest.mark.parametrize("name", names())
def test_notebooks_run(name, tmp_path):
    nbclient = of_the_extra("nbclient")
    nbformat = of_the_extra("nbformat")
    of_the_extra("ipykernel")
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises what a cell raises
    outputs = [o for c in notebook.cells for o in c.get("outputs", ())]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures
