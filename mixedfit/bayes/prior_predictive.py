"""Draws from the prior distribution of a model."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from mixedfit.bayes.priors.statements import Statements, prior_table
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.core.options import check_count
from mixedfit.core.printed_frame import PrintedFrame
from mixedfit.core.seeds import generator
from mixedfit.core.tables import Table, text_table
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.design.design import Design

from .distributions import Normal, StudentT
from .draws.scale_draws import ScaleDraws, group_sigmas, new_effects
from .draws.structure_draws import StructureDraws
from .model.error_model import ErrorModel, place_error_model
from .model.residual_structure import ResidualPriors, place_residual_priors
from .posterior import Posterior
from .priors import (
    LKJ,
    Decov,
    Exponential,
    HalfCauchy,
    HalfNormal,
    HalfT,
    HuangWand,
    InverseGamma,
    InverseWishart,
    Jeffreys,
    Known,
    LogNormal,
    Prior,
    UniformSD,
)
from .priors.mixtures import free_precisions, given_mixtures
from .priors.placement import Placement, place_priors, without_correlations
from .priors.variance import Gamma

__all__ = ["PriorPredictive", "prior_predictive"]


class PriorPredictive(Posterior):
    """Independent draws from the prior of a model's parameters. Made by `LinearMixedModel.prior_predictive`.

    It has the methods of a `Posterior`, such as ``prior["GenotypeB"]``, `probability`, `derive`, `predict`, `replicate`
    and `check`, but no `loo` and `waic`.
    """

    kind = "prior"

    def summary(self, **options: Any) -> pd.DataFrame:
        """Return mean, sd and quantiles (or the shortest interval) of each parameter; options as `Posterior.summary`.

        The mean of a heavy-tailed prior may not exist; quantiles always do.
        """
        table = super().summary(**options).drop(columns=["mcse", "rhat", "ess_bulk", "ess_tail"])
        return PrintedFrame(table)

    @lazy
    def warnings(self) -> tuple[str, ...]:
        """Always empty, because the draws are independent."""
        return ()

    def loo(self, **options: Any) -> NoReturn:
        """Raise a `ModelError`: the prior does not depend on the data."""
        raise ModelError(
            "these are draws from the prior, which has seen no row; sample the posterior by .gibbs()."
        )

    waic = loo
    kfold = loo  # type: ignore[assignment]

    def _quantiles(self) -> pd.DataFrame:
        return self.summary().filter(regex="%$").map("{:.4g}".format)

    def _tables(self) -> list[Table]:
        head = f"{self.draws:,} draws from the prior of {self.design.formula.source}"
        return [prior_table(self.priors), text_table(head, self._quantiles())]

    def __str__(self) -> str:
        quantiles = self._quantiles()
        return "\n".join(
            [
                f"Linear mixed model, {self.draws:,} draws from the prior",
                f"Formula: {self.design.formula.source}",
                "",
                "Priors:",
                *(f"  {statement}" for statement in self.priors),
                "",
                quantiles.to_string(),
            ]
        )

    __repr__ = __str__


def prior_predictive(
    design: Design,
    priors: Mapping[str, Any] | None,
    *,
    draws: int,
    seed: object,
    errors: Any = Normal(),  # noqa: B008 (a frozen value)
    random_effects: Any = Normal(),  # noqa: B008
    sigma: str = "common",
    data: Any = None,
) -> PriorPredictive:
    """Return draws from the prior of a design's model; see `LinearMixedModel.prior_predictive`."""
    check_count("draws", draws, 4)
    begun, rng = perf_counter(), generator(seed)
    model = {"errors": errors, "random_effects": random_effects, "sigma": sigma, "data": data}
    error_model, others = place_error_model(design, priors, **model)
    structure, others = place_residual_priors(design, error_model, others)
    with blas_threads(1):
        cross = cross_products(design)
    placement = place_priors(design, cross, others)
    design = without_correlations(design, placement.units)
    beta = _coefficients(placement, draws, rng)
    omegas = _omegas(design, placement, draws, rng)
    scales = None if error_model.is_normal else _scales(error_model, draws, rng)
    residual_sd = _residual_sd(placement.sigma, scales, draws, rng)
    _multiply_by_variance(omegas, placement, residual_sd)
    effects = [
        new_effects(omega, f, block.levels, rng, scales)
        for f, (block, omega) in enumerate(zip(design.blocks, omegas, strict=True))
    ]
    return PriorPredictive(
        design=design,
        kept=cross.fixed.kept,
        priors=Statements(
            (
                *placement.statements,
                *error_model.statements(placement.sigma),
                *(structure.statements if structure else ()),
            )
        ),
        beta=beta[None],
        sigma=residual_sd,
        omega=omegas,
        effects=tuple(effects),
        tune=0,
        thin=1,
        seconds=perf_counter() - begun,
        scales=scales,
        structure=None if structure is None else _structure_draws(structure, draws, rng),
    )


def _structure_draws(structure: ResidualPriors, draws: int, rng: np.random.Generator) -> StructureDraws:
    """Return draws of the parameters of a residual structure."""
    x = structure.draw(draws, rng)[None]
    return StructureDraws(structure.names, x, structure.natural(x))


def _residual_sd(prior: Prior, scales: ScaleDraws | None, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of σ, or of σ₀ if σ differs by group, shape (1, draws)."""
    if scales is not None and scales.error_model.groups is not None:
        return scales.sigma0
    return _deviations(prior, prior.about("σ"), draws, rng)[None]


def _omegas(design: Design, placement: Placement, draws: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return draws of Ω of each block, shape (1, draws, k, k)."""
    out = []
    for f, block in enumerate(design.blocks):
        omega = np.zeros((1, draws, block.k, block.k))
        for unit in (u for u in placement.units if u.block == f):
            here = slice(unit.start, unit.start + unit.size)
            omega[0, :, here, here] = _covariances(unit.prior, unit.size, str(unit), draws, rng)
        out.append(omega)
    return tuple(out)


def _multiply_by_variance(omegas: tuple[Array, ...], placement: Placement, residual_sd: Array) -> None:
    """Multiply the draws of Ω under priors in units of σ by σ²."""
    for unit in placement.units:
        if isinstance(unit.prior, Decov):
            here = slice(unit.start, unit.start + unit.size)
            omegas[unit.block][:, :, here, here] *= residual_sd[:, :, None, None] ** 2


def _scales(error_model: ErrorModel, draws: int, rng: np.random.Generator) -> ScaleDraws:
    """Return draws of ν, ν₀, σ₀ and σ_g."""
    nu = []
    for distribution in (error_model.errors, *error_model.effects):
        if isinstance(distribution, StudentT):
            prior = distribution.prior
            nu.append(
                np.full(draws, float(distribution.df))  # type: ignore[arg-type]
                if prior is None
                else rng.gamma(prior.shape, 1.0 / prior.rate, draws)
            )
        else:
            nu.append(np.ones(draws))
    nu0 = rng.gamma(error_model.nu0.shape, 1.0 / error_model.nu0.rate, draws)
    if isinstance(error_model.sigma0, Gamma):
        sigma0 = np.sqrt(rng.gamma(error_model.sigma0.shape, 1.0 / error_model.sigma0.rate, draws))
    else:
        sigma0 = _deviations(error_model.sigma0, error_model.sigma0.about("σ₀"), draws, rng)
    groups = 0 if error_model.groups is None else len(error_model.groups.levels)
    sigmas = group_sigmas(nu0, sigma0, groups, rng)
    return ScaleDraws(error_model, tuple(v[None] for v in nu), nu0[None], sigma0[None], sigmas[None])


def _coefficients(placement: Placement, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of β ~ N(mean, precision⁻¹), or its mixture over λ, shape (draws, p)."""
    precision = placement.precision
    if not precision.size:
        return np.zeros((draws, 0))
    sizes = 1.0 / np.sqrt(np.where(np.diag(precision) > 0, np.diag(precision), 1.0))
    if np.any(np.diag(precision) <= 0) or np.linalg.eigvalsh(sizes[:, None] * precision * sizes)[0] < 1e-12:
        flat = next((text for text in placement.fixed if "∝" in text), "p(β) ∝ 1")
        raise _improper(flat, "mf.priors.Normal(mean, sd)")
    noise = rng.standard_normal((draws, len(precision), 1))
    if not placement.mixtures:
        root = np.linalg.cholesky(precision)
        return placement.mean + np.linalg.solve(root.T, noise[:, :, 0].T).T
    lam = np.stack([free_precisions(m.prior, draws, rng) for m in placement.mixtures], axis=1)
    precisions, linear = given_mixtures(placement, lam)
    roots = np.linalg.cholesky(precisions)
    centred = noise + np.linalg.solve(roots, linear[:, :, None])
    return np.asarray(np.linalg.solve(roots.swapaxes(1, 2), centred)[:, :, 0])


def _improper(statement: str, instead: str) -> ModelError:
    """Return the error for an improper prior."""
    return ModelError(
        f"the prior {statement} is improper: it has no distribution to draw from. Give a proper one, such as {instead}."
    )


def _deviations(prior: Prior, statement: str, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of a standard deviation, shape (draws,)."""
    match prior:
        case Known(sd):
            return np.full(draws, float(sd))
        case InverseGamma(shape, scale):
            return np.asarray(np.sqrt(scale / rng.standard_gamma(shape, draws)))
        case HalfT(df, scale):
            return np.asarray(scale * np.abs(rng.standard_t(df, draws)))
        case HalfCauchy(scale):
            return np.asarray(scale * np.abs(rng.standard_cauchy(draws)))
        case HalfNormal(scale):
            return np.asarray(scale * np.abs(rng.standard_normal(draws)))
        case Exponential(mean):
            return np.asarray(rng.exponential(mean, draws))
        case LogNormal(median, log_sd):
            return np.asarray(median * rng.lognormal(0.0, log_sd, draws))
        case UniformSD(upper) if np.isfinite(upper):
            return np.asarray(rng.uniform(0.0, upper, draws))
        case UniformSD():
            raise _improper(statement, "mf.priors.UniformSD(upper) or mf.priors.HalfCauchy(scale)")
        case Jeffreys():
            raise _improper(statement, "mf.priors.HalfCauchy(scale)")
    raise AssertionError(f"{prior} is not a prior of a standard deviation")


def _covariances(prior: Prior, k: int, statement: str, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of a covariance matrix, shape (draws, k, k)."""
    match prior:
        case InverseWishart():
            scale = np.broadcast_to(np.asarray(prior.matrix, dtype=float), (draws, k, k))
            return _inverse_wishart(float(prior.df), scale, rng)
        case HuangWand():  # Ω | a ~ inverse-Wishart(df + k − 1, 2 df diag(1/a)), a ~ inverse-gamma(½, 1/scale²)
            sizes = np.broadcast_to(np.asarray(prior.scale, dtype=float), k)
            rates = rng.standard_gamma(0.5, (draws, k)) * sizes**2
            return _inverse_wishart(prior.df + k - 1, 2.0 * prior.df * rates[:, :, None] * np.eye(k), rng)
        case LKJ():
            sds = np.stack([_deviations(sd, statement, draws, rng) for sd in prior.sds], axis=1)
            root = sds[:, :, None] * _correlation_root(prior.eta, k, draws, rng)
            return np.asarray(root @ root.swapaxes(-1, -2))
        case Decov(eta, scale):  # in units of σ²
            sizes = k * rng.exponential(scale, draws)[:, None] ** 2 * rng.dirichlet(np.ones(k), draws)
            root = np.sqrt(sizes)[:, :, None] * _correlation_root(eta, k, draws, rng)
            return np.asarray(root @ root.swapaxes(-1, -2))
    return _deviations(prior, statement, draws, rng)[:, None, None] ** 2


def _correlation_root(eta: float, k: int, draws: int, rng: np.random.Generator) -> Array:
    """Return Cholesky factors of R ~ LKJ(η), shape (draws, k, k), from independent partial correlations.

    Those given the first j effects are 2 beta(b, b) − 1, b = η + (k − 2 − j)/2; Lewandowski, Kurowicka & Joe (2009).
    """
    root = np.zeros((draws, k, k))
    rest = np.ones((draws, k))
    for j in range(k - 1):
        b = eta + 0.5 * (k - 2 - j)
        partial = 2.0 * rng.beta(b, b, (draws, k - 1 - j)) - 1.0
        root[:, j, j] = np.sqrt(rest[:, j])
        root[:, j + 1 :, j] = partial * np.sqrt(rest[:, j + 1 :])
        rest[:, j + 1 :] *= 1.0 - partial**2
    root[:, k - 1, k - 1] = np.sqrt(rest[:, k - 1])
    return root


def _inverse_wishart(df: float, scale: Array, rng: np.random.Generator) -> Array:
    """Return Ω ~ inverse-Wishart(df, scale⁻¹), one for each scale matrix, by Bartlett's decomposition.

    With scale = CCᵀ and A lower triangular, A_ii² ~ χ²(df − i), A_ij ~ N(0, 1): Ω⁻¹ = C⁻ᵀAAᵀC⁻¹, so that
    Ω = (CA⁻ᵀ)(CA⁻ᵀ)ᵀ.
    """
    draws, k, _ = scale.shape
    bartlett = np.tril(rng.standard_normal((draws, k, k)), -1)
    for i in range(k):
        bartlett[:, i, i] = np.sqrt(rng.chisquare(df - i, draws))
    root = np.linalg.solve(bartlett, np.linalg.cholesky(scale).swapaxes(-1, -2))
    return np.asarray(root.swapaxes(-1, -2) @ root)
