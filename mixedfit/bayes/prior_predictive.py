"""Draws from the prior, and responses replicated from them."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, Literal, NoReturn

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.core.seeds import generator
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.design.design import Design

from .distributions import Normal, StudentT
from .draws.scale_draws import ScaleDraws
from .model.error_model import Shape, place_shape
from .posterior import Posterior
from .priors import (
    Exponential,
    HalfCauchy,
    HalfNormal,
    HalfT,
    HuangWand,
    InverseGamma,
    InverseWishart,
    Jeffreys,
    Known,
    Prior,
    UniformSD,
)
from .priors.placement import Placement, place_priors, without_correlations
from .priors.variance import Gamma

__all__ = ["PriorPredictive", "prior_predictive"]


class PriorPredictive(Posterior):
    """Independent draws from the prior of a model's parameters. Made by `LinearMixedModel.prior_predictive`.

    Everything that a `Posterior` says of its draws, this says of the prior's: ``prior["GenotypeB"]``, `probability`,
    `derive`, `predict`, `replicate` (responses as the prior expects them) and `check` (these beside the data).
    """

    kind = "prior"

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] = (0.025, 0.5, 0.975),
        interval: Literal["quantiles", "hpd"] = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return mean, sd and quantiles (or the shortest interval) of every parameter; see `Posterior.summary`.

        The mean of a heavy-tailed prior may not exist; quantiles do.
        """
        table = super().summary(quantiles=quantiles, interval=interval, level=level)
        return table.drop(columns=["mcse", "rhat", "ess_bulk", "ess_tail"])

    @lazy
    def warnings(self) -> tuple[str, ...]:
        """Nothing: draws are independent."""
        return ()

    def loo(
        self,
        *,
        by: str | None = None,
        refit: bool = False,
        efficiency: float | None = None,
        progress: bool | None = None,
    ) -> NoReturn:
        """Raise `ModelError`: leave-one-out is not defined for draws from a prior."""
        raise ModelError(
            "these are draws from the prior, which has seen no row; sample the posterior by .gibbs()."
        )

    def waic(self, *, by: str | None = None, progress: bool | None = None) -> NoReturn:
        """Refuse, as `loo`."""
        self.loo()

    def __str__(self) -> str:
        table = self.summary()
        table = table[[c for c in table.columns if c.endswith("%")]]
        shown = pd.DataFrame(
            [[f"{value:.4g}" for value in row] for row in table.to_numpy()], table.index, table.columns
        )
        return "\n".join(
            [
                f"Linear mixed model, {self.draws:,} draws from the prior",
                f"Formula: {self.design.formula.source}",
                "",
                "Priors:",
                *(f"  {statement}" for statement in self.priors),
                "",
                shown.to_string(),
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
    whole = isinstance(draws, int | np.integer) and not isinstance(draws, bool)
    if not whole or draws < 4:
        raise ModelError(f"draws is {draws!r}; expected a whole number of at least 4.")
    begun, rng = perf_counter(), generator(seed)
    shape, others = place_shape(
        design, priors, errors=errors, random_effects=random_effects, sigma=sigma, data=data
    )
    with blas_threads(1):
        cross = cross_products(design)
    placement = place_priors(design, cross, others)
    design = without_correlations(design, placement.units)
    beta = _coefficients(placement, int(draws), rng)
    omegas = _omegas(design, placement, int(draws), rng)
    scales = None if shape.is_ordinary else _scales(shape, int(draws), rng)
    if scales is not None and shape.groups is not None:
        deviations = scales.sigma0
    else:
        deviations = _deviations(placement.sigma, placement.sigma.about("σ"), int(draws), rng)[None]
    return PriorPredictive(
        design=design,
        kept=cross.fixed.kept,
        priors=(*placement.statements, *shape.statements(placement.sigma)),
        beta=beta[None],
        sigma=deviations,
        omega=omegas,
        effects=_effects(design, omegas, scales, rng),
        tune=0,
        thin=1,
        seconds=perf_counter() - begun,
        scales=scales,
    )


def _omegas(design: Design, placement: Placement, draws: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return draws of every block's Ω, shape (1, draws, k, k) each."""
    out = []
    for f, block in enumerate(design.blocks):
        omega = np.zeros((1, draws, block.k, block.k))
        for unit in (u for u in placement.units if u.block == f):
            here = slice(unit.start, unit.start + unit.size)
            omega[0, :, here, here] = _covariances(unit.prior, unit.size, str(unit), draws, rng)
        out.append(omega)
    return tuple(out)


def _effects(
    design: Design, omegas: tuple[Array, ...], scales: ScaleDraws | None, rng: np.random.Generator
) -> tuple[Array, ...]:
    """Return draws of every block's effects, shape (1, draws, levels, k) each."""
    out = []
    for f, (block, omega) in enumerate(zip(design.blocks, omegas, strict=True)):
        noise = rng.standard_normal((*omega.shape[:2], block.levels, block.k))
        if scales is not None:
            noise *= scales.effect_scale(f, block.levels, rng)[:, :, :, None]
        out.append(noise @ np.linalg.cholesky(omega).swapaxes(-1, -2))
    return tuple(out)


def _scales(shape: Shape, draws: int, rng: np.random.Generator) -> ScaleDraws:
    """Return draws of ν, and of the residual SDs of groups: 1/σ_g² ~ gamma(ν₀/2, ν₀σ₀²/2)."""
    nu = []
    for distribution in (shape.errors, *shape.effects):
        if isinstance(distribution, StudentT):
            given = distribution.prior
            nu.append(
                np.full(draws, float(distribution.df))  # type: ignore[arg-type]
                if given is None
                else rng.gamma(given.shape, 1.0 / given.rate, draws)
            )
        else:
            nu.append(np.ones(draws))
    nu0 = rng.gamma(shape.nu0.shape, 1.0 / shape.nu0.rate, draws)
    if isinstance(shape.sigma0, Gamma):
        sigma0 = np.sqrt(rng.gamma(shape.sigma0.shape, 1.0 / shape.sigma0.rate, draws))
    else:
        sigma0 = _deviations(shape.sigma0, shape.sigma0.about("σ₀"), draws, rng)
    groups = 0 if shape.groups is None else len(shape.groups.levels)
    half = np.broadcast_to(0.5 * nu0[:, None], (draws, groups))
    sigmas = sigma0[:, None] * np.sqrt(half / rng.standard_gamma(half))
    return ScaleDraws(shape, tuple(v[None] for v in nu), nu0[None], sigma0[None], sigmas[None])


def _coefficients(placement: Placement, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of β ~ N(mean, precision⁻¹), shape (draws, p)."""
    precision = placement.precision
    if not precision.size:
        return np.zeros((draws, 0))
    sizes = 1.0 / np.sqrt(np.where(np.diag(precision) > 0, np.diag(precision), 1.0))
    if np.any(np.diag(precision) <= 0) or np.linalg.eigvalsh(sizes[:, None] * precision * sizes)[0] < 1e-12:
        flat = next((text for text in placement.fixed if "∝" in text), "p(β) ∝ 1")
        _refuse(flat, "mf.priors.Normal(mean, sd)")
    root = np.linalg.cholesky(precision)
    noise = rng.standard_normal((len(precision), draws))
    return placement.mean + np.linalg.solve(root.T, noise).T


def _refuse(statement: str, instead: str) -> NoReturn:
    raise ModelError(
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
        case UniformSD(upper) if np.isfinite(upper):
            return np.asarray(rng.uniform(0.0, upper, draws))
        case UniformSD():
            _refuse(statement, "mf.priors.UniformSD(upper) or mf.priors.HalfCauchy(scale)")
        case Jeffreys():
            _refuse(statement, "mf.priors.HalfCauchy(scale)")
    raise AssertionError(f"{prior} is not about a standard deviation")


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
    return _deviations(prior, statement, draws, rng)[:, None, None] ** 2


def _inverse_wishart(df: float, scale: Array, rng: np.random.Generator) -> Array:
    """Return Ω ~ inverse-Wishart(df, scale⁻¹), one for each scale, by Bartlett's decomposition.

    With scale = CCᵀ and A lower triangular, A_ii² ~ χ²(df − i), A_ij ~ N(0, 1): Ω⁻¹ = C⁻ᵀAAᵀC⁻¹, so that
    Ω = (CA⁻ᵀ)(CA⁻ᵀ)ᵀ.
    """
    draws, k, _ = scale.shape
    bartlett = np.tril(rng.standard_normal((draws, k, k)), -1)
    for i in range(k):
        bartlett[:, i, i] = np.sqrt(rng.chisquare(df - i, draws))
    root = np.linalg.solve(bartlett, np.linalg.cholesky(scale).swapaxes(-1, -2))
    return np.asarray(root.swapaxes(-1, -2) @ root)
