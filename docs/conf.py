"""Settings of the documentation site: ``sphinx-build -W -j auto docs docs/_build/html`` (needs the extra "docs").

The pages are the Markdown that is read on the repository's page too. Files outside of this folder are included by the
pages of `project/`; `links_of_included_pages` makes their links lead to pages of the site.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import mixedfit

for _name in ("distributions", "plots", "priors", "residuals"):
    sys.modules[f"mixedfit.{_name}"] = getattr(mixedfit, _name)  # names that `import` does not know

project = "mixedfit"
author = "the mixedfit developers"
copyright = "the mixedfit developers"
version = release = mixedfit.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "lessons/*.py", "images"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
nitpicky = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autosummary_generate = True
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = True
numpydoc_show_inherited_class_members = True
numpydoc_class_members_toctree = False
numpydoc_use_plots = False

html_theme = "pydata_sphinx_theme"
html_title = "mixedfit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/extra"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("index", "start", "gallery", "benchmarks", "architecture")}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

INCLUDED = {
    "README.md": "/start.md",
    "CONTRIBUTING.md": "/project/contributing.md",
    "CHANGELOG.md": "/project/changelog.md",
    "SECURITY.md": "/project/security.md",
    "CODE_OF_CONDUCT.md": "/project/conduct.md",
    "benchmarks/README.md": "/benchmarks.md",
    "data/README.md": "/data_sets.md",
    "tests/README.md": "/project/tests.md",
}
"""Pages outside of this folder, by the pages of the site that include them."""

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?\)")


def on_the_site(text: str, folder: Path) -> str:
    """Return Markdown from `folder` of the project with links to the site's pages; other links become their text."""

    def found(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        heading = match[2] or ""
        if name in INCLUDED:
            return f"]({INCLUDED[name]}{heading})"
        if name.startswith("docs/"):
            return f"](/{name.removeprefix('docs/')}{heading})"
        return match[0]

    return LINK.sub(found, text)


def links_of_included_pages(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """Make links of an included page lead to pages of the site."""
    place = (Path(app.srcdir) / path).resolve()
    content[0] = on_the_site(content[0], place.parent)


def links_out_of_the_folder(app: Sphinx, docname: str, content: list[str]) -> None:
    """Make links that leave this folder lead to the pages of the site that include their targets."""
    place = Path(app.env.doc2path(docname))
    if place.suffix == ".md":
        content[0] = re.sub(
            r"\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)", lambda m: on_the_site(m[0], place.parent), content[0]
        )


def notebooks_of_lessons(app: Sphinx, config: object) -> None:
    """Write the notebooks of the lessons, which the site offers for download."""
    spec = importlib.util.spec_from_file_location(
        "lesson_notebooks", Path(app.srcdir) / "lessons" / "notebooks.py"
    )
    assert spec is not None
    assert spec.loader is not None
    notebooks = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = notebooks
    spec.loader.exec_module(notebooks)
    notebooks.write(Path(app.srcdir) / "_build" / "extra" / "notebooks", outputs="page")


def download_of_the_notebook(app: Sphinx, docname: str, content: list[str]) -> None:
    """Make the line of a lesson that offers its notebook a download."""
    name = docname.removeprefix("lessons/")
    link = f'<a href="../notebooks/{name}.ipynb" download>This lesson as a notebook</a>'
    content[0] = content[0].replace("[This lesson as a notebook](README.md#notebooks)", link)


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("config-inited", notebooks_of_lessons)
    app.connect("source-read", download_of_the_notebook)
    app.connect("include-read", links_of_included_pages)
    app.connect("source-read", links_out_of_the_folder)
