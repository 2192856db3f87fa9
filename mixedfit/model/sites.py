"""`lmm_from`: the model of rows in several places, from their cross-products."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixedfit.core.errors import DataError, ModelError, a_type
from mixedfit.core.other_programs import hinted
from mixedfit.core.progress import Progress
from mixedfit.crossproducts.merging import merged
from mixedfit.crossproducts.summed import SummedRows, settled_design
from mixedfit.design.model_frame import Missing
from mixedfit.design.stream.agreement import SiteRecipe, agreed, with_recipe
from mixedfit.design.stream.build import site_recipe_of
from mixedfit.design.stream.source import is_source, open_source
from mixedfit.estimation import storage
from mixedfit.formula.parse import Expand, parse_formula

from .lmm import LinearMixedModel
from .row_products import RowProducts, read_products

__all__ = ["agree", "lmm_from", "site_recipe"]


@hinted
def site_recipe(
    formula: str,
    data: Any,
    *,
    weights: str | None = None,
    offset: str | None = None,
    missing: Missing = "drop",
    expand: Expand = "levels",
    batch_rows: int | None = None,
    progress: bool | None = None,
) -> SiteRecipe:
    """Return the levels and moments of the columns of a model in one place, for `agree`.

    Parameters
    ----------
    formula, data, weights, offset, missing, expand, batch_rows, progress
        As in `lmm`; weights and offset are names of columns.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> mf.site_recipe("Reaction ~ scale(Days) + (1 | Subject)", data[:100])
    <SiteRecipe: 'Reaction ~ scale(Days) + (1 | Subject)', columns Reaction, Days, Subject>
    """
    source = open_source(data if is_source(data) else [data], batch_rows)
    parsed = parse_formula(formula, expand=expand)
    with Progress(progress) as shown:
        return site_recipe_of(parsed, source, weights=weights, offset=offset, missing=missing, progress=shown)


@hinted
def agree(recipes: Sequence[SiteRecipe | str | Path]) -> SiteRecipe:
    """Return the recipe that several places use: all levels, and the mean and variance of all rows.

    Parameters
    ----------
    recipes : sequence of SiteRecipe or paths
        Results of `site_recipe`, or files of them.

    Raises
    ------
    ModelError
        If they are of different models, or polynomials or splines have learnt different states.
    """
    if isinstance(recipes, SiteRecipe | str | Path) or not isinstance(recipes, Sequence) or not recipes:
        raise ModelError("agree takes a list of recipes or of paths of their files, at least one.")
    known = [recipe for recipe in map(with_recipe, recipes) if recipe is not None]
    return agreed(known)


@hinted
def lmm_from(parts: Sequence[RowProducts | str | Path]) -> LinearMixedModel:
    """Return the model of the rows of several parts, such as sites, from their cross-products.

    The fit is that of the rows in one frame. Levels of grouping factors may differ between parts; columns of X,
    effects and the state of transforms must be the same: see `mixedfit.agree`.

    Parameters
    ----------
    parts : sequence of RowProducts or paths
        Results of `LinearMixedModel.cross_products`, or files of them.

    Raises
    ------
    DataError
        If a file is not of cross-products.
    ModelError
        If the parts are not of the same model.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> formula = "Reaction ~ Days + (Days | Subject)"
    >>> sites = [mf.lmm(formula, data[:100]).cross_products(), mf.lmm(formula, data[100:]).cross_products()]
    >>> fit = mf.lmm_from(sites).fit()
    >>> round(fit.reml_criterion, 3) == round(mf.lmm(formula, data).fit().reml_criterion, 3)
    True
    """
    if isinstance(parts, RowProducts | str | Path) or not isinstance(parts, Sequence) or not parts:
        raise ModelError("lmm_from takes a list of cross-products or of paths of their files, at least one.")
    summed = [_summed(part) for part in parts]
    design = settled_design(merged(summed), "they were left where their cross-products were summed up.")
    return LinearMixedModel(design.formula, design)


def _summed(part: Any) -> SummedRows:
    if isinstance(part, str | Path):
        part = storage.read(part, {"products": read_products, "posterior": lambda *_: None})
    if not isinstance(part, RowProducts):
        raise DataError(
            f"{a_type(part)} is no cross-products; expected the result of model.cross_products() or a file of "
            "it."
        )
    return part._summed
