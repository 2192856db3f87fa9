"""Recipes, which build the matrices of new rows with the state of the transforms of the fit."""

from __future__ import annotations

from .cells import Cells
from .recipe import Recipe, make_recipe, usable
from .storage import pack, unpack
from .terms import FixedTerm, GroupRecipe, ManyRecipe, NewRows, Product
from .variables import Variable

__all__ = [
    "Cells",
    "FixedTerm",
    "GroupRecipe",
    "ManyRecipe",
    "NewRows",
    "Product",
    "Recipe",
    "Variable",
    "make_recipe",
    "pack",
    "unpack",
    "usable",
]
