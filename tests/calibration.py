"""Simulation-based calibration: parameters from their prior, data from the model, ranks of the former among draws.

Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788. Priors are drawn by numpy and scipy, not by us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import mixedfit as mf
from mixedfit.bayes import distributions as ds
from mixedfit.bayes import priors as pr
from mixedfit.bayes.sampler.gibbs import gibbs

DRAWS = 99
BINS = 10


def sd_drawer(prior: Any) -> Callable[[np.random.Generator], float]:
    """Return what draws a standard deviation from a prior."""
    match prior:
        case pr.InverseGamma(shape, scale):
            return lambda rng: float(np.sqrt(scale / rng.gamma(shape)))
        case pr.HalfT(df, scale):
            return lambda rng: float(abs(scale * rng.standard_t(df)))
        case pr.HalfCauchy(scale):
            return lambda rng: float(abs(scale * rng.standard_cauchy()))
        case pr.HalfNormal(scale):
            return lambda rng: float(abs(scale * rng.standard_normal()))
        case pr.Exponential(mean):
            return lambda rng: float(rng.exponential(mean))
        case pr.LogNormal(median, log_sd):
            return lambda rng: float(median * rng.lognormal(0.0, log_sd))
        case pr.UniformSD(upper):
            return lambda rng: float(rng.uniform(0, upper))
        case pr.Known(sd):
            return lambda rng: sd
    raise AssertionError(prior)


def covariance_drawer(prior: Any, k: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Return what draws a k × k covariance matrix from a prior."""
    match prior:
        case pr.InverseWishart():
            law = stats.invwishart(prior.df, np.asarray(prior.matrix))
            return lambda rng: np.asarray(law.rvs(random_state=rng))
        case pr.HuangWand():
            scales = np.broadcast_to(prior.scale, k)

            def draw(rng: np.random.Generator) -> np.ndarray:
                a = 1.0 / scales**2 / rng.gamma(0.5, size=k)
                return np.asarray(
                    stats.invwishart(prior.df + k - 1, 2 * prior.df * np.diag(1 / a)).rvs(random_state=rng)
                )

            return draw
        case pr.LKJ():
            sds = [sd_drawer(p) for p in prior.sds]

            def drawn_lkj(rng: np.random.Generator) -> np.ndarray:
                """Two effects: (ρ + 1)/2 ~ beta(η, η)."""
                s, rho = np.array([d(rng) for d in sds]), 2.0 * rng.beta(prior.eta, prior.eta) - 1.0
                return np.outer(s, s) * np.array([[1.0, rho], [rho, 1.0]])

            return drawn_lkj
        case pr.Diagonal():
            drawers = [sd_drawer(p) for p in prior.priors]
            return lambda rng: np.diag([d(rng) ** 2 for d in drawers])
    drawer = sd_drawer(prior)
    return lambda rng: np.array([[drawer(rng) ** 2]])


def frame() -> pd.DataFrame:
    """Return 30 rows in 6 groups, crossed with 5 others, with a covariate."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(30),
            "x": rng.standard_normal(30),
            "g": np.repeat(list("abcdef"), 5),
            "h": np.tile(list("vwxyz"), 6),
            "t": np.tile([0, 1, 2, 4, 5], 6),
        }
    )


def mixing(distribution: Any, nu: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return λ of a scale mixture of normals."""
    match distribution:
        case ds.StudentT():
            return rng.gamma(nu / 2, 2 / nu, size)
        case ds.Laplace():
            return 1 / rng.exponential(2.0, size)
    return np.ones(size)


def df_drawer(distribution: Any) -> Callable[[np.random.Generator], float]:
    """Return what draws ν of a distribution from its prior."""
    prior = getattr(distribution, "prior", None)
    if prior is None:
        return lambda rng: float(getattr(distribution, "df", 1.0))
    return lambda rng: float(rng.gamma(prior.shape, 1 / prior.rate))


def standard_draws(prior: Any, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return independent draws of a prior of fixed effects with mean 0 and scale 1."""
    match prior:
        case pr.StudentT(df, _, _):
            return rng.standard_t(df, size)
        case pr.Cauchy():
            return rng.standard_cauchy(size)
        case pr.Laplace():
            return rng.laplace(size=size)
    return rng.standard_normal(size)


class Simulator:
    """Draws parameters from their priors and data from the model; what is not normal with one σ comes as options."""

    def __init__(self, formula: str, priors: dict[str, Any], options: dict[str, Any], data: pd.DataFrame):
        self.design = design = mf.lmm(
            formula, data, weights=options.get("weights"), residual=options.get("residual")
        ).design
        self.data, self.residual_priors = data, {k: p for k, p in priors.items() if k in ("phi", "ratio")}
        self.factors = [(block.name, block.k, block.z, block.codes, block.levels) for block in design.blocks]
        self.drawers = {name: covariance_drawer(priors[name], k) for name, k, *_ in self.factors}
        effects = options.get("random_effects", ds.Normal())
        names = [name for name, *_ in self.factors]
        self.effects = effects if isinstance(effects, dict) else dict.fromkeys(names, effects)
        self.errors = options.get("errors", ds.Normal())
        self.moments = priors["fixed"].moments(design.X.shape[1])
        self.root, self.law = np.linalg.cholesky(self.moments[1]), priors["fixed"]
        self.groups = None
        if "sigma" in options:
            self.levels, self.groups = np.unique(data[options["sigma"][3:]], return_inverse=True)
            self.nu0, self.sigma0 = priors["nu0"], priors["sigma0"]
        else:
            self.sigma_drawer = sd_drawer(priors["sigma"])

    def draw(self, rng: np.random.Generator) -> tuple[dict[str, float], np.ndarray]:
        """Return parameters by name and a response."""
        design = self.design
        beta = self.moments[0] + self.root @ standard_draws(self.law, len(self.root), rng)
        y = design.X @ beta
        truth = dict(zip(design.x_names, beta, strict=True))
        for name, k, z, codes, levels in self.factors:
            omega, shape = self.drawers[name](rng), self.effects.get(name, ds.Normal())
            nu = df_drawer(shape)(rng)
            b = rng.standard_normal((levels, k)) @ np.linalg.cholesky(omega).T
            b /= np.sqrt(mixing(shape, nu, levels, rng))[:, None]
            y += np.einsum("ij,ij->i", z, b[codes])
            truth |= {f"b|{name}": b[0, 0], f"omega|{name}": omega[0, 0]}
            if k > 1:
                truth |= {f"omega2|{name}": omega[1, 1], f"cov|{name}": omega[0, 1]}
            if getattr(shape, "prior", None):
                truth[f"nu|{name}"] = nu
        nu = df_drawer(self.errors)(rng)
        weights = 1.0 if design.weights is None else design.weights
        noise = (
            self._sigma(truth, rng)
            * rng.standard_normal(y.size)
            / np.sqrt(weights * mixing(self.errors, nu, y.size, rng))
        )
        y += self.correlated(self._structure(truth, rng), noise) if design.residual is not None else noise
        if getattr(self.errors, "prior", None):
            truth["nu"] = nu
        return truth, y

    def _structure(self, truth: dict[str, float], rng: np.random.Generator) -> np.ndarray:
        """Return φ of an AR1 and the ratios of VarIdent."""
        model = self.design.residual
        values = []
        for name in (p.name for p in model.natural(model.start)):
            match self.residual_priors[name.split("(")[0]]:
                case pr.Uniform(lower, upper):
                    values.append(float(rng.uniform(lower, upper)))
                case pr.Beta(a, b):
                    values.append(float(2.0 * rng.beta(a, b) - 1.0))
                case pr.LogNormal(median, log_sd):
                    values.append(float(median * rng.lognormal(0.0, log_sd)))
            truth[name] = values[-1]
        return np.array(values)

    def correlated(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return independent residuals as those of AR1 in groups g at times t, times ratios by h."""
        group, t = self.data["g"].to_numpy(), self.data["t"].to_numpy(float)
        same = group[:, None] == group
        C = np.where(same, values[0] ** np.abs(t[:, None] - t), 0.0)
        s = np.concatenate([[1.0], values[1:]])
        own = s[np.unique(self.data["h"], return_inverse=True)[1]] if s.size > 1 else np.ones(t.size)
        return np.asarray(own * (np.linalg.cholesky(C) @ noise))

    def _sigma(self, truth: dict[str, float], rng: np.random.Generator) -> Any:
        """Return each row's residual scale."""
        if self.groups is None:
            truth["sigma"] = self.sigma_drawer(rng)
            return truth["sigma"]
        nu0 = float(rng.gamma(self.nu0.shape, 1 / self.nu0.rate))
        if isinstance(self.sigma0, pr.Gamma):
            sigma0 = float(np.sqrt(rng.gamma(self.sigma0.shape, 1 / self.sigma0.rate)))
        else:
            sigma0 = sd_drawer(self.sigma0)(rng)
        own = 1 / np.sqrt(rng.gamma(nu0 / 2, 2 / (nu0 * sigma0**2), len(self.levels)))
        truth |= {"nu0": nu0, "sigma0": sigma0, f"sigma[{self.levels[0]}]": own[0]}
        return own[self.groups]


def ranks(
    formula: str, priors: dict[str, Any], simulations: int, seed: int, options: dict[str, Any] | None = None
) -> pd.DataFrame:
    """Return the rank of every parameter among DRAWS draws, simulations × parameters."""
    options, data = options or {}, frame()
    simulator = Simulator(formula, priors, options, data)
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(simulations):
        truth, y = simulator.draw(rng)
        posterior = gibbs(
            simulator.design.with_response(y),
            priors,
            draws=DRAWS,
            tune=300,
            thin=10,
            chains=1,
            n_jobs=1,
            seed=seed + i,
            data=data,
            **{key: value for key, value in options.items() if key != "residual"},
        )
        rows.append({name: int(np.sum(drawn(posterior, name) < value)) for name, value in truth.items()})
    table = pd.DataFrame(rows)
    known = isinstance(priors.get("sigma"), pr.Known)
    return table.loc[:, [n for n in table if np.ptp(table[n]) > 0 and not (known and n == "sigma")]]


def drawn(posterior: mf.Posterior, name: str) -> np.ndarray:
    """Return the draws of a parameter of `Simulator`, shape (draws,)."""
    kind, _, factor = name.partition("|")
    if not factor or kind == "nu":
        return posterior[name][0]
    f = [block.name for block in posterior.design.blocks].index(factor)
    if kind == "b":
        return posterior.effects[f][0, :, 0, 0]
    a, b = {"omega": (0, 0), "omega2": (1, 1), "cov": (0, 1)}[kind]
    return posterior.omega[f][0, :, a, b]


def p_values(table: pd.DataFrame) -> pd.Series:
    """Return each parameter's p-value of the chi-square test that ranks are uniform."""
    out = {}
    for name, values in table.items():
        counts = np.bincount(values * BINS // (DRAWS + 1), minlength=BINS)
        out[name] = stats.chisquare(counts).pvalue
    return pd.Series(out)
