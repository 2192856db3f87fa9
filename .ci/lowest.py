"""Print the lowest versions that pyproject.toml promises: of what a fit needs, of pictures, streams and tests."""

from __future__ import annotations

import re
import sys
import tomllib

CHECKERS = {"ruff", "mypy", "pandas-stubs"}

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for requirement in sorted({*project["dependencies"], *extras["plot"], *extras["stream"], *extras["test"]}):
    name, lowest = re.fullmatch(r"([\w-]+(?:\[[\w,]+\])?)>=([\d.]+)", requirement).groups()
    if name not in CHECKERS:
        print(f"{name}=={lowest if '.' in lowest else lowest + '.0'}.*")
