"""Sphinx settings: Markdown pages through MyST, the furo theme, nothing fetched from the network."""

from __future__ import annotations

import logging
from importlib.metadata import version as installed_version

project = "bizspan"
author = "The bizspan authors"
copyright = "2026, The bizspan authors"
release = installed_version("bizspan")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False  # the OpenTelemetry classes in our signatures would need a network inventory to resolve

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# A folder may wait for its first page, and Sphinx gives this warning no type to suppress it by.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob" not in str(record.msg))

html_theme = "furo"
html_title = "bizspan"
