"""How Sphinx makes the site: these pages, the docstrings, and the pages at the top of the repository.

Usage: sphinx-build -W --keep-going docs FOLDER
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "site"))

project = "metaplastic"
author = "The metaplastic developers"
copyright = "2026, the metaplastic developers"
version = release = version_of("metaplastic")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "pages", "docstrings", "mathml"]
exclude_patterns = ["figures", "site"]
default_role = "py:obj"  # `name` in a docstring is a link where there is something to link to
suppress_warnings = ["ref.python"]  # two rooms may each have a `Weights`: the link then goes to one of them

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"metaplastic {release}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "monokai"
