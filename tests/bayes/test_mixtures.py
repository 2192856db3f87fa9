"""Full conditionals of scale mixtures and of residual variances by group, by Kolmogorov's test against scipy's laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, special, stats

from mixedfit.kernels.gibbs import mixtures as mix
from mixedfit.kernels.gibbs import variances as kinds
from mixedfit.kernels.gibbs.mixtures import stretch_levels

N = 4000


def precisions(kind: int, df: float, count: int, q: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([mix.draw_precision(rng, kind, df, count, q) for _ in range(N)])


def agrees(draws: np.ndarray, law: object) -> bool:
    return bool(stats.kstest(draws, law.cdf).pvalue > 1e-3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("df", "count", "q"), [(4.0, 1, 0.3), (0.5, 1, 40.0), (7.0, 3, 2.0)])
def test_precision_of_a_t_must_be_gamma_given_its_vector(df: float, count: int, q: float) -> None:
    """λ | b ~ Gamma((ν + k)/2, (ν + bᵀΩ⁻¹b)/2)."""
    assert agrees(precisions(mix.STUDENT, df, count, q), stats.gamma((df + count) / 2, scale=2 / (df + q)))


@pytest.mark.parametrize("q", [1e-6, 0.09, 4.0, 2500.0])
def test_precision_of_a_laplace_must_be_inverse_gaussian_given_its_residual(q: float) -> None:
    """λ | e ~ IG(mean σ/|e|, shape 1); Park & Casella (2008), J. Am. Stat. Assoc. 103:681, in units of σ."""
    assert agrees(precisions(mix.LAPLACE, 0.0, 1, q), stats.invgauss(1 / np.sqrt(q)))


@pytest.mark.everyday(2)
@pytest.mark.parametrize("q", [1e-4, 0.5, 3.0, 400.0])
@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_variance_of_a_laplace_vector_must_be_generalised_inverse_gaussian(count: int, q: float) -> None:
    """V | b has density ∝ V^(−k/2) exp(−q/2V − V/2)."""
    draws = 1.0 / precisions(mix.LAPLACE, 0.0, count, q)
    assert agrees(draws, stats.geninvgauss(1 - count / 2, np.sqrt(q), scale=np.sqrt(q)))


def test_mixtures_must_have_the_densities_of_t_and_laplace() -> None:
    """The mixture is the named distribution: ∫ N(x; 0, 1/λ) p(λ) dλ."""
    from mixedfit.bayes import distributions as d

    rng, size = np.random.default_rng(2), (20000,)
    for distribution, law in ((d.StudentT(4), stats.t(4)), (d.Laplace(), stats.laplace())):
        lam = d.mixing_precisions(distribution, 4.0, size, rng)
        assert agrees(rng.standard_normal(size) / np.sqrt(lam), law)


# -- residual variances by group ---------------------------------------------------------------------

NU0, SIGMA0 = 6.0, 1.5
SQUARES, COUNTS = np.array([3.0, 40.0, 0.0, 9.0]), np.array([4.0, 12.0, 0.0, 1.0])
VARIANCES = np.array([0.8, 3.1, 2.0, 5.5])


def test_precision_of_a_group_must_be_gamma_given_its_residuals() -> None:
    """1/σ_g² | … ~ Gamma((ν₀ + n_g)/2, (ν₀σ₀² + SS_g)/2); Hoff (2009), section 8.5. The third group has no rows."""
    rng, draws = np.random.default_rng(3), np.empty((N, 4))
    for row in draws:
        mix.draw_variances(rng, NU0, SIGMA0, SQUARES, COUNTS, row)
    for g in range(4):
        law = stats.gamma((NU0 + COUNTS[g]) / 2, scale=2 / (NU0 * SIGMA0**2 + SQUARES[g]))
        assert agrees(1 / draws[:, g], law)


def test_typical_variance_must_be_gamma_given_those_of_the_groups() -> None:
    """σ₀² | … ~ Gamma(a + mν₀/2, b + ν₀ Σσ_g⁻²/2); Hoff (2009), section 8.5."""
    rng = np.random.default_rng(4)
    draws = np.array([mix.draw_sigma0(rng, 0.5, 0.2, NU0, VARIANCES) for _ in range(N)]) ** 2
    assert agrees(draws, stats.gamma(0.5 + 2 * NU0, scale=1 / (0.2 + 0.5 * NU0 * np.sum(1 / VARIANCES))))


def slices(
    which: float, numbers: list[float], squares: np.ndarray, start: float, counts: np.ndarray = COUNTS
) -> np.ndarray:
    """Return exp x of a chain of slice steps, thinned."""
    rng, x, out = np.random.default_rng(5), np.log(start), np.empty(1500)
    for i in range(out.size):
        for _ in range(8):
            x = mix.draw_log(rng, which, x, np.array(numbers), squares, counts)
        out[i] = np.exp(x)
    return out


def cdf_of(log_density: Callable[[float], float], low: float, high: float) -> Callable[..., np.ndarray]:
    """Return the distribution function of an unnormalised density, on a grid of the logarithm."""
    grid = np.linspace(np.log(low), np.log(high), 401)
    logs = np.array([log_density(np.exp(x)) + x for x in grid])
    values = integrate.cumulative_trapezoid(np.exp(logs - logs.max()), grid, initial=0.0)
    return lambda x: np.interp(np.log(x), grid, values / values[-1])


@pytest.mark.everyday(1)
@pytest.mark.parametrize("count", [1, 2])
def test_degrees_of_freedom_must_have_prior_times_t_densities(count: int) -> None:
    squares = np.array([0.1, 2.0, 0.4, 30.0, 1.1, 0.9, 5.0])
    draws = slices(mix.DF, [2.0, 0.1, count], squares, 5.0)

    def density(nu: float) -> float:
        shape = stats.multivariate_t(np.zeros(count), np.eye(count), df=nu)
        vectors = np.zeros((squares.size, count))
        vectors[:, 0] = np.sqrt(squares)
        return float(stats.gamma(2, scale=10).logpdf(nu) + np.sum(shape.logpdf(vectors)))

    assert stats.kstest(draws, cdf_of(density, 1e-3, 500)).pvalue > 1e-3


def log_groups(nu0: float, sigma0: float) -> float:
    """Return the log density of residuals in groups with σ_g integrated out, by quadrature."""
    total = 0.0
    for squares, count in zip(SQUARES, COUNTS, strict=True):
        law = stats.gamma(nu0 / 2, scale=2 / (nu0 * sigma0**2))
        grid = np.exp(np.linspace(-14, 6, 500))
        logs = law.logpdf(grid) + np.log(grid) + 0.5 * count * np.log(grid) - 0.5 * squares * grid
        total += special.logsumexp(logs)
    return float(total)


def test_nu0_must_have_prior_times_the_groups_density() -> None:
    draws = slices(mix.NU0, [2.0, 0.1, SIGMA0**2], SQUARES, 5.0)
    law = stats.gamma(2, scale=10)
    assert (
        stats.kstest(draws, cdf_of(lambda x: law.logpdf(x) + log_groups(x, SIGMA0), 0.05, 300)).pvalue > 1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["half-Cauchy", "gamma"])
def test_typical_sigma_must_have_prior_times_the_groups_density(prior: str) -> None:
    numbers = [kinds.HALF_T, 1.0, 0.7] if prior == "half-Cauchy" else [mix.GAMMA, 1.5, 0.4]
    draws = slices(mix.SIGMA0, [*map(float, numbers), NU0], SQUARES, 1.0)

    def log_prior(s: float) -> float:
        if prior == "half-Cauchy":
            return float(stats.halfcauchy(scale=0.7).logpdf(s))
        return float(stats.gamma(1.5, scale=1 / 0.4).logpdf(s * s) + np.log(s))

    assert stats.kstest(draws, cdf_of(lambda s: log_prior(s) + log_groups(NU0, s), 0.02, 60)).pvalue > 1e-3


@pytest.mark.parametrize("kind", [mix.STUDENT, mix.LAPLACE])
def test_sigma_must_have_prior_times_the_residuals_density(kind: int) -> None:
    """Residuals are given in units of the present σ, here 2."""
    rest, now = np.array([0.3, -1.0, 2.2, 0.1, -4.0, 0.7]), 2.0
    numbers = [kinds.HALF_T, 3.0, 1.2, 4.0, kind, now]
    total = np.array([np.sum(np.abs(rest)) / now])
    draws = slices(mix.SIGMA, [*map(float, numbers)], (rest / now) ** 2, now, total)
    law = stats.t(4) if kind == mix.STUDENT else stats.laplace()

    def density(s: float) -> float:
        prior = stats.t(3, scale=1.2).logpdf(s)
        return float(prior + np.sum(law.logpdf(rest / s)) - rest.size * np.log(s))

    assert stats.kstest(draws, cdf_of(density, 0.01, 100)).pvalue > 1e-3


@pytest.mark.everyday(1)
@pytest.mark.parametrize("kind", [mix.STUDENT, mix.LAPLACE])
def test_stretch_of_a_level_must_have_prior_times_likelihood_as_density(kind: int) -> None:
    """b = s c with c given: s² exponential of mean 2, or 1/s² ~ Gamma(ν/2, ν/2), times N(y − …; s zᵀc, σ²/w)."""
    rng = np.random.default_rng(6)
    z, y, w = rng.standard_normal((6, 2)), rng.standard_normal(6), rng.uniform(0.5, 2.0, 6)
    c, lam, nu = np.array([[0.7, -0.4]]), np.array([2.0]), 5.0
    effects = c / np.sqrt(lam[0])
    rest, codes, out = y - z @ effects[0], np.zeros(6, np.int64), np.empty(1500)
    for i in range(out.size):
        for _ in range(8):
            stretch_levels(rng, kind, nu, codes, z, w, rest, lam, effects)
        out[i] = 1 / np.sqrt(lam[0])
    assert np.allclose(rest, y - z @ effects[0])
    assert np.allclose(effects * np.sqrt(lam[0]), c)

    def density(s: float) -> float:
        own = stats.norm(s * z @ c[0], 1 / np.sqrt(w)).logpdf(y).sum()
        if kind == mix.LAPLACE:
            return float(own + stats.expon(scale=2).logpdf(s * s) + np.log(s))
        return float(own + stats.gamma(nu / 2, scale=2 / nu).logpdf(s**-2.0) - 3 * np.log(s))

    assert stats.kstest(out, cdf_of(density, 1e-3, 30)).pvalue > 1e-3
