"""How Sphinx builds these pages; `scripts/docs.sh` calls it."""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "rigl_tf"
author = "The rigl_tf maintainers"
release = re.search(
    r'__version__ = "(.+)"',
    (ROOT / "rigl_tf" / "__init__.py").read_text(encoding="utf-8"),
).group(1)

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "docstrings",
]
html_theme = "furo"
html_title = f"rigl_tf {release}"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["pages.css"]
highlight_language = "none"
default_role = "literal"  # code in single backticks, as in the docstrings

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# All notebooks together run in about two minutes. To build without them:
# `python -m sphinx -D nb_execution_mode=off docs build/docs`.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # TensorFlow's lines about the machine

napoleon_google_docstring = True
napoleon_numpy_docstring = False
# "Returns: A list of layers: their names" is a sentence, not a type and a text.
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

# Files at the top of the repository -> their pages here.
PAGES = {
    "../README.md": "index.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
}


def lead_to_pages(app, name, source):
    """Let links to files at the top lead to their pages."""
    for file, page in PAGES.items():
        source[0] = source[0].replace(f"]({file}", f"]({page}")


def setup(app):
    """Register."""
    app.connect("source-read", lead_to_pages)
