"""Pictures of records: packages that compute do not import `plots`, which is imported when a picture is drawn."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["picture"]


def picture(name: str) -> Callable[..., Any]:
    """Return the function or class of `mixedfit.plots` of that name."""
    return getattr(import_module("mixedfit.plots"), name)  # type: ignore[no-any-return]
