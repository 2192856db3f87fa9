"""What tests of lessons share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lessons import BORROWED, PAGES, ran


@pytest.fixture
def lesson(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Any]]:
    """What a lesson defined, by the beginning of its name; skips where its data are not at hand."""

    def scope(number: str) -> dict[str, Any]:
        name = next(page for page in PAGES if page.startswith(number))
        if name in BORROWED:
            folder = request.getfixturevalue("shared_data")
            assert (folder / BORROWED[name]).is_file()
        return ran(name)[1]

    return scope
