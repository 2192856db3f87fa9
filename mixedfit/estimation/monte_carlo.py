"""Monte-Carlo errors of a fit whose traces and log-determinants are estimated from random probes."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.likelihood.criterion import Evaluation
from mixedfit.likelihood.iterative_tail import IterativeTail

__all__ = ["LARGE_ERROR", "monte_carlo_errors", "more_probes", "theta_errors"]

LARGE_ERROR = 0.25
"""Monte-Carlo error of the estimates, in standard errors, from which the summary advises more probes."""


def more_probes(probes: int) -> str:
    """Return the advice to take more probes than a fit did."""
    return f"Raise Control(probes=...), such as probes={4 * probes}, which halves the Monte-Carlo error of {probes}"


def theta_errors(evaluation: Evaluation) -> Array:
    """Return the covariance of the Monte-Carlo errors of θ at a root of the gradient, shape (n_theta, n_theta).

    With g the mean of the probes' gradients and H the curvature, θ̂ − θ ≈ −H⁻¹(g − E g): H⁻¹ Var(g) H⁻¹.
    """
    tail, c = evaluation.tail, evaluation.criterion
    assert isinstance(tail, IterativeTail)
    derivatives = c.derivatives(evaluation.theta)
    probes = np.concatenate(
        [2.0 * np.einsum("aij,tij->ta", d, tail.trace_errors(f)) for f, d in enumerate(derivatives)], axis=1
    )
    t = len(probes)
    spread = probes.T @ probes / (t * (t - 1))
    inverse = np.linalg.pinv(evaluation.curvature, hermitian=True)
    return np.asarray(inverse @ spread @ inverse)


def monte_carlo_errors(evaluation: Evaluation) -> dict[str, float]:
    """Return the number of probes and what error they cause.

    ``criterion_error`` is the standard error of the criterion; ``estimate_error`` is the largest standard error of a
    combination of the covariance parameters that the probes cause, in standard errors of the estimate.
    """
    tail = evaluation.tail
    assert isinstance(tail, IterativeTail)
    out = {"probes": float(tail.own.probes), "criterion_error": tail.logdet_error}
    if evaluation.theta.size and all(s.linear for s in evaluation.criterion.structures):
        half = 0.5 * evaluation.curvature
        ratio = np.linalg.eigvals(theta_errors(evaluation) @ half)
        out["estimate_error"] = float(np.sqrt(max(0.0, np.real(ratio).max())))
    return out
