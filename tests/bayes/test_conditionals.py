"""Each full conditional of the sampler against its textbook distribution, by Kolmogorov's test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, stats

from mixedfit.kernels.gibbs import variances as k

COUNT, SQUARES = 12, 30.0
"""J effects and Σ (μ_j − μ)²."""


def variances(kind: int, first: float, second: float, n: int, every: int = 1) -> np.ndarray:
    """Return τ² of a chain of updates given the same effects."""
    rng = np.random.default_rng(1)
    out, value = np.empty(n), 1.0
    for i in range(n):
        for _ in range(every):
            value = k.draw_variance(rng, kind, first, second, COUNT, SQUARES, value)
        out[i] = value
    return out


def test_precision_between_must_be_gamma_under_a_uniform_prior_on_tau() -> None:
    """φ_μ | … ~ Gamma((J − 1)/2, Σ(μ_j − μ)²/2), as the lecture on the schools prints it."""
    draws = variances(k.UNIFORM, 0.0, np.inf, 4000)
    law = stats.gamma((COUNT - 1) / 2, scale=2 / SQUARES)
    assert stats.kstest(1 / draws, law.cdf).pvalue > 1e-3


def test_precision_within_must_be_gamma_under_jeffreys_prior() -> None:
    """φ | … ~ Gamma(n/2, ΣΣ(y − μ_j)²/2), as the lecture on the schools prints it."""
    draws = variances(k.JEFFREYS, 0.0, 0.0, 4000)
    assert stats.kstest(1 / draws, stats.gamma(COUNT / 2, scale=2 / SQUARES).cdf).pvalue > 1e-3


def test_precision_must_be_gamma_under_the_semi_conjugate_prior() -> None:
    """1/σ² | … ~ Gamma((ν₀ + n)/2, (ν₀σ₀² + SS)/2) with ν₀ = 1, σ₀² = 100; Hoff (2009), section 8.3."""
    draws = variances(k.INVERSE_GAMMA, 0.5, 50.0, 4000)
    law = stats.gamma((1 + COUNT) / 2, scale=2 / (100 + SQUARES))
    assert stats.kstest(1 / draws, law.cdf).pvalue > 1e-3


DENSITIES: dict[str, tuple[int, float, float, Callable[[float], float]]] = {
    "half-t": (k.HALF_T, 3.0, 0.7, lambda t: (1 + t * t / (3 * 0.49)) ** -2.0),
    "half-Cauchy": (k.HALF_T, 1.0, 0.7, lambda t: 1 / (1 + t * t / 0.49)),
    "half-normal": (k.HALF_NORMAL, 0.0, 0.7, lambda t: np.exp(-t * t / 0.98)),
    "exponential": (k.EXPONENTIAL, 0.0, 0.7, lambda t: np.exp(-t / 0.7)),
    "uniform": (k.UNIFORM, 0.0, 1.7, lambda t: float(t <= 1.7)),
    "log-normal": (k.LOG_NORMAL, 0.5, 0.7, lambda t: np.exp(-2.0 * np.log(t / 0.7) ** 2) / t),
    "inverse-gamma": (k.INVERSE_GAMMA, 2.0, 1.5, lambda t: t**-5.0 * np.exp(-1.5 / t**2)),
}


def cdf_of(density: Callable[[float], float], top: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the distribution function of an unnormalised density on (0, top)."""
    grid = np.linspace(1e-6, top, 20001)
    values = integrate.cumulative_trapezoid([density(t) for t in grid], grid, initial=0.0)
    return lambda x: np.interp(x, grid, values / values[-1])


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", DENSITIES)
def test_variance_given_effects_must_have_prior_times_likelihood_as_density(name: str) -> None:
    kind, first, second, prior = DENSITIES[name]
    draws = np.sqrt(variances(kind, first, second, 1500, every=30))
    law = cdf_of(lambda t: prior(t) * t**-COUNT * np.exp(-0.5 * SQUARES / t**2), 12.0)
    assert stats.kstest(draws, law).pvalue > 1e-3


FAR: dict[str, tuple[int, float, Callable[[float], float]]] = {
    "half-normal": (k.HALF_NORMAL, 0.05, lambda t: np.exp(-t * t / 0.005)),
    "exponential": (k.EXPONENTIAL, 0.01, lambda t: np.exp(-t / 0.01)),
    "log-normal": (k.LOG_NORMAL, 0.05, lambda t: np.exp(-0.5 * (np.log(t / 0.05) / 0.2) ** 2) / t),
    "uniform": (k.UNIFORM, 0.2, lambda t: float(t <= 0.2)),
}


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", FAR)
def test_variance_must_be_drawn_under_a_prior_far_from_its_effects(name: str) -> None:
    """The effects have an SD of 1.6, so that proposals from the inverse gamma alone would never be accepted."""
    kind, second, prior = FAR[name]
    rng, variance, draws = np.random.default_rng(3), 0.02, np.empty(1500)
    for i in range(draws.size):
        for _ in range(10):
            variance = k.draw_variance(rng, kind, 0.2, second, COUNT, SQUARES, variance)
        draws[i] = np.sqrt(variance)
    peak, top = (0.2, 0.2) if name == "uniform" else (0.5, 2.0)

    def density(t: float) -> float:  # over that at the peak, which has no logarithm that a float holds
        return prior(t) * (t / peak) ** -COUNT * np.exp(-0.5 * SQUARES * (t**-2.0 - peak**-2.0))

    assert stats.kstest(draws, cdf_of(density, top)).pvalue > 1e-3


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", DENSITIES)
def test_scale_given_standardised_effects_must_have_prior_times_likelihood_as_density(name: str) -> None:
    kind, first, second, prior = DENSITIES[name]
    rng, precision, mean = np.random.default_rng(2), 4.0, 0.6
    draws, tau = np.empty(1500), 0.5
    for i in range(draws.size):
        for _ in range(30):
            tau = abs(k.draw_scale(rng, kind, first, second, tau, precision, precision * mean))
        draws[i] = tau

    def density(t: float) -> float:  # either sign of τ gives the same |τ|
        both = np.exp(-0.5 * precision * (t - mean) ** 2) + np.exp(-0.5 * precision * (t + mean) ** 2)
        return float(prior(t) * both)

    assert stats.kstest(draws, cdf_of(density, 8.0)).pvalue > 1e-3


def test_covariance_must_be_inverse_wishart_given_effects() -> None:
    """Σ | … ~ inverse-Wishart(η₀ + m, [S₀ + S]⁻¹); Hoff (2009), section 11.2."""
    S0, S = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[9.0, -3.0], [-3.0, 6.0]])
    rng, draws = np.random.default_rng(3), np.empty((4000, 2, 2))
    for omega in draws:
        omega[:] = np.eye(2)
        k.draw_covariance(rng, k.INVERSE_WISHART, 4.0, S0.copy(), 10, S.copy(), omega)
    law = stats.invwishart(14, S0 + S)
    other = law.rvs(4000, random_state=np.random.default_rng(4))
    assert np.allclose(draws.mean(axis=0), (S0 + S) / (14 - 3), atol=0.06)
    for a, b in ((0, 0), (0, 1), (1, 1)):
        assert stats.ks_2samp(draws[:, a, b], other[:, a, b]).pvalue > 1e-3
    correlation = [w[:, 0, 1] / np.sqrt(w[:, 0, 0] * w[:, 1, 1]) for w in (draws, other)]
    assert stats.ks_2samp(*correlation).pvalue > 1e-3


@pytest.mark.slow
def test_huang_wand_prior_must_have_half_t_sds_and_uniform_correlations() -> None:
    """With no effects behind it the update leaves the prior: SDs half-t(2, A), correlation U(−1, 1)."""
    rng, omega = np.random.default_rng(5), np.eye(2)
    draws = np.empty((2500, 2, 2))
    for i in range(len(draws)):
        for _ in range(40):
            k.draw_covariance(rng, k.HUANG_WAND, 2.0, np.diag([1.0, 3.0]), 0, np.zeros((2, 2)), omega)
        draws[i] = omega
    sds = np.sqrt(draws[:, [0, 1], [0, 1]])
    for a, scale in ((0, 1.0), (1, 3.0)):
        assert stats.kstest(sds[:, a] / scale, lambda x: 2 * stats.t(2).cdf(x) - 1).pvalue > 1e-3
    correlation = draws[:, 0, 1] / np.prod(sds, axis=1)
    assert stats.kstest(correlation, stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.everyday(1)
@pytest.mark.parametrize("kind", ["inverse-Wishart", "Huang–Wand"])
def test_log_density_of_a_covariance_must_match_scipy_up_to_a_constant(kind: str) -> None:
    scales, S0 = np.array([1.0, 3.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    first, second = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([[0.5, -0.4], [-0.4, 4.0]])

    def expected(omega: np.ndarray) -> float:
        if kind == "inverse-Wishart":
            return float(stats.invwishart(5, S0).logpdf(omega))

        def mixture(log_a: np.ndarray) -> np.ndarray:
            a = np.exp(log_a)
            inside = stats.invgamma(0.5, scale=1 / scales**2).logpdf(a).sum() + log_a.sum()
            return inside + stats.invwishart(3, 4 * np.diag(1 / a)).logpdf(omega)

        grid = np.linspace(-12, 12, 41)
        values = np.array([[mixture(np.array([x, z])) for z in grid] for x in grid])
        return float(np.log(np.exp(values).sum()) + 2 * np.log(grid[1] - grid[0]))

    number, matrix, df = (
        (k.HUANG_WAND, np.diag(scales), 2.0) if kind == "Huang–Wand" else (k.INVERSE_WISHART, S0, 5.0)
    )
    own = [k.log_covariance_density(number, df, matrix, omega, 2) for omega in (first, second)]
    assert own[0] - own[1] == pytest.approx(expected(first) - expected(second), abs=2e-3)
