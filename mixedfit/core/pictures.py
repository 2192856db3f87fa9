"""Pictures of records: packages that compute do not import those that draw, which are imported when a picture is."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["pictures_of"]


def pictures_of(subject: Any, maker: str) -> Any:
    """Return the pictures of a record.

    Parameters
    ----------
    subject : object
        The record, such as a posterior.
    maker : str
        Module and name of the class of its pictures, such as ``"mixedfit.plots.PosteriorPictures"``.
    """
    module, _, name = maker.rpartition(".")
    return getattr(import_module(module), name)(subject)
