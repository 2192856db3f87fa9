"""Errors of variance parameters against second derivatives of the dense likelihood in these parameters themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import DenseModel
from scipy.special import ndtri

import mixedfit as mf


@pytest.fixture(scope="module")
def fit() -> mf.MixedResults:
    """Return 20 groups of 5 rows whose intercepts and slopes are correlated by about −0.6."""
    rng = np.random.default_rng(6)
    group, x = np.repeat(np.arange(20), 5), np.tile(np.arange(5.0), 20)
    b = rng.normal(size=(20, 2)) @ np.array([[2.0, -0.9], [0.0, 1.2]])
    y = b[group, 0] + b[group, 1] * x + rng.normal(size=100)
    return mf.lmm("y ~ x + (x | g)", {"y": y, "x": x, "g": group}).fit()


def covariance(fit: mf.MixedResults, lam_and_sigma: Callable[[Any], tuple[Any, float]], at: Any) -> Any:
    """Return 2H⁻¹, H the second derivative of the REML criterion in any four parameters, by central differences."""
    design = fit._fit.design
    dense = DenseModel(design.y, design.X, [(design.blocks[0].codes, design.blocks[0].z)], exact=False)

    def criterion(parameters: Any) -> float:
        lam, sigma = lam_and_sigma(parameters)
        return dense.criterion([lam], reml=True, sigma=sigma)

    steps = np.diag(2e-3 * np.maximum(np.abs(at), 0.2))
    hessian = np.empty((4, 4))
    for i, s in enumerate(steps):
        for j, t in enumerate(steps):
            around = (
                criterion(at + s + t) - criterion(at + s - t) - criterion(at - s + t) + criterion(at - s - t)
            )
            hessian[i, j] = around / (4 * s[i] * t[j])
    return 2 * np.linalg.inv(hessian)


def test_delta_interval_of_a_correlation_must_be_fishers_z(fit: mf.MixedResults) -> None:
    """tanh(z ± 1.96 SE(z)), SE(z) from derivatives in z itself. The rival is SE(r)/(1 − |r|) for SE(r)/(1 − r²)."""
    first, rho, second, sigma = natural(fit)

    def turned(parameters: Any) -> tuple[Any, float]:
        (a, b), z, s = np.exp(parameters[:2]), parameters[2], np.exp(parameters[3])
        root = np.array([[a, 0.0], [b * np.tanh(z), b / np.cosh(z)]])
        return root / s, float(s)

    at = np.array([np.log(first), np.log(second), np.arctanh(rho), np.log(sigma)])
    errors = np.sqrt(np.diag(covariance(fit, turned, at)))
    half = ndtri(0.975) * errors
    found = fit.conf_int(delta=True)
    np.testing.assert_allclose(found.loc[".sig02"], np.tanh(at[2] + half[2] * np.array([-1, 1])), rtol=1e-4)
    for name, i in ((".sig01", 0), (".sig03", 1), (".sigma", 3)):
        np.testing.assert_allclose(found.loc[name], np.exp(at[i] + half[i] * np.array([-1, 1])), rtol=1e-4)
    rival = half[2] * (1 - rho**2) / (1 - abs(rho))
    assert abs(np.tanh(at[2] - rival) - np.tanh(at[2] - half[2])) > 1e-2


def test_delta_interval_of_a_common_correlation_must_be_fishers_z_of_its_own_interval() -> None:
    """Three effects have one correlation, above −1/2: z = artanh of its place on (−1/2, 1). Rival: that on (−1, 1)."""
    rng = np.random.default_rng(6)
    group, level = np.repeat(np.arange(30), 12), np.tile(np.repeat([0, 1, 2], 4), 30)
    b = 2.0 * rng.multivariate_normal(np.zeros(3), 0.6 * np.eye(3) + 0.4, size=30)
    y = b[group, level] + rng.normal(size=360)
    fit = mf.lmm("y ~ 1 + homcs(0 + v | g)", {"y": y, "v": np.array(list("abc"))[level], "g": group}).fit()
    rho, error = fit.parameters()["cor_homcs|g"], np.sqrt(fit.vcov_varpar().loc[".sig02", ".sig02"])

    def z(value: Any) -> Any:
        return np.arctanh((value - 0.25) / 0.75)

    slope = (z(rho + 1e-5) - z(rho - 1e-5)) / 2e-5
    limits = fit.conf_int(delta=True).loc[".sig02"].to_numpy()
    np.testing.assert_allclose(
        z(limits), z(rho) + ndtri(0.975) * error * slope * np.array([-1, 1]), rtol=1e-5
    )
    plain = np.tanh(np.arctanh(rho) + ndtri(0.975) * error / (1 - rho**2) * np.array([-1, 1]))
    assert np.abs(plain - limits).max() > 1e-3


def test_errors_of_the_covariances_root_must_be_those_of_its_elements(fit: mf.MixedResults) -> None:
    """Elements of σλ and σ². The rival has twice the covariances with σ²."""
    first, rho, second, sigma = natural(fit)
    at = np.array([first, second * rho, second * np.sqrt(1 - rho**2), sigma**2])

    def turned(parameters: Any) -> tuple[Any, float]:
        a, b, c, scale = parameters
        return np.array([[a, 0.0], [b, c]]) / np.sqrt(scale), float(np.sqrt(scale))

    expected = covariance(fit, turned, at)
    found = fit.vcov_varpar(scale="cholesky").to_numpy()
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found / size, expected / size, atol=1e-4)
    assert np.abs(expected / size)[:3, 3].max() > 1e-2


def natural(fit: mf.MixedResults) -> list[float]:
    """Return SD of the intercepts, correlation, SD of the slopes and σ."""
    omega = fit._fit.omega[0]
    first, second = np.sqrt(np.diag(omega))
    return [first, omega[0, 1] / (first * second), second, fit.sigma]
