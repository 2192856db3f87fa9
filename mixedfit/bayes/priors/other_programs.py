"""The default priors of other programs, as priors of a model here."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_one_of
from mixedfit.design.design import Design, RandomBlock

from .covariance import LKJ, Decov, Diagonal
from .fixed import Flat, Normal, StudentT
from .keys import CENTRED
from .variance import Exponential, HalfNormal, HalfT

__all__ = ["like"]

Program = Literal["brms", "bambi", "rstanarm"]

WIDE = 2.5
"""SDs of the response of the programs' weak priors."""


def like(program: Program, model: Any) -> dict[str, Any]:
    """Return the default priors that another program has for a model, for ``model.gibbs(priors)``.

    **brms** 2.x (Bürkner 2017, J. Stat. Softw. 80(1); ``default_prior``, for `gaussian`), with m = median(y) and s =
    max(2.5, 1.4826 MAD(y)), both rounded to one decimal: slopes flat; the intercept at the means of the predictors
    t(3, m, s); SDs of effects and σ half-t(3, s), whatever the unit of the effect's column; correlations LKJ(1).

    **bambi** 0.13 (Capretto et al. 2022, J. Stat. Softw. 103(15); ``PriorScaler``), with s the SD of y: slopes
    N(0, (2.5 s/s_x)²); the intercept at the means of the predictors N(ȳ, v²), v² = (2.5 s)² + Σ (2.5 s x̄/s_x)²; SDs of
    intercepts of groups half-normal(v), of slopes half-normal(2.5 s/s_x), and no correlations; σ half-t(4, s).

    **rstanarm** 2.21 (``stan_lmer``; its documentation, "Prior distributions" and "Covariance matrices"), with s the SD
    of y: slopes N(0, (2.5 s/s_x)²); the intercept at the means of the predictors N(ȳ, (2.5 s)²); SDs of effects in
    units of σ, `Decov`, with LKJ(1) correlations; σ exponential with mean s.

    Parameters
    ----------
    program : {"brms", "bambi", "rstanarm"}
    model : LinearMixedModel

    Returns
    -------
    dict of str to prior
        May be changed before use, as in ``{**mf.priors.like("brms", model), "x": mf.priors.Normal(0, 1)}``.

    Raises
    ------
    ModelError
        If the program is not known, or its priors cannot be written here.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> for key, prior in like("brms", model).items():
    ...     print(key, "~", prior)
    fixed ~ p(β) ∝ 1
    centred (Intercept) ~ t(3, 288.7, 59.3)
    Subject ~ LKJ(1) with SDs half-t(3, 59.3)
    sigma ~ half-t(3, 59.3)
    """
    check_one_of("program", program, get_args(Program))
    made = {"brms": _brms, "bambi": _bambi, "rstanarm": _rstanarm}
    return made[program](model.design)


def _is_correlated(block: RandomBlock) -> bool:
    return any(part.invariance == "linear" and part.k > 1 for part in block.structure.parts)


def _brms(design: Design) -> dict[str, Any]:
    median = float(np.median(design.y))
    mad = 1.4826 * float(np.median(np.abs(design.y - median)))
    scale = max(WIDE, round(mad, 1))
    half = HalfT(3, scale)
    out: dict[str, Any] = {"fixed": Flat()}
    if "(Intercept)" in design.x_names:
        out[CENTRED] = StudentT(3, round(median, 1), scale)
    for block in design.blocks:
        out |= _keys_of(block, LKJ(1, half), half)
    return {**out, "sigma": half}


def _keys_of(block: RandomBlock, correlated: Any, single: Any) -> dict[str, Any]:
    """Return the prior of a factor with one term, or of each effect's SD of a factor with uncorrelated effects."""
    if _is_correlated(block):
        if len(block.structure.parts) > 1:
            raise ModelError(
                f"{block.name!r} has several terms, some with correlated effects; give each term its prior, such as "
                "mf.priors.LKJ(1, mf.priors.HalfT(3, scale))."
            )
        return {block.name: correlated}
    return {block.name: single}


def _bambi(design: Design) -> dict[str, Any]:
    s = float(np.std(design.y))
    slopes = [j for j, name in enumerate(design.x_names) if name != "(Intercept)"]
    X = design.X[:, slopes]
    sds = WIDE * s / np.std(X, axis=0)
    wide = float(np.sqrt((WIDE * s) ** 2 + np.sum((sds * X.mean(axis=0)) ** 2)))
    out: dict[str, Any] = {
        design.x_names[j]: Normal(0.0, float(sd)) for j, sd in zip(slopes, sds, strict=True)
    }
    if len(slopes) < len(design.x_names):
        out[CENTRED] = Normal(float(np.mean(design.y)), wide)
    for block in design.blocks:
        halves = [
            HalfNormal(wide if name == "(Intercept)" else WIDE * s / _sd(z))
            for name, z in zip(block.effects, block.z.T, strict=True)
        ]
        out |= (
            {block.name: halves[0]}
            if block.k == 1
            else {block.name: Diagonal(*halves)}
            if len(block.structure.parts) == 1
            else {f"sd_{name}|{block.name}": half for name, half in zip(block.effects, halves, strict=True)}
        )
    return {**out, "sigma": HalfT(4, s)}


def _rstanarm(design: Design) -> dict[str, Any]:
    s = float(np.std(design.y, ddof=1))
    out: dict[str, Any] = {}
    for name, column in zip(design.x_names, design.X.T, strict=True):
        if name != "(Intercept)":
            out[name] = Normal(0.0, WIDE * s / (float(np.std(column, ddof=1)) or 1.0))
    if "(Intercept)" in design.x_names:
        out[CENTRED] = Normal(float(np.mean(design.y)), WIDE * s)
    return {**out, **{block.name: Decov() for block in design.blocks}, "sigma": Exponential(s)}


def _sd(column: Array) -> float:
    sd = float(np.std(column))
    if sd == 0.0:
        raise ModelError("bambi has no default prior of the SD of an effect whose column is constant.")
    return sd
