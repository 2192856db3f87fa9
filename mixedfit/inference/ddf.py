"""Covariance matrix and denominator degrees of freedom of tests of fixed effects, by method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.options import check_one_of
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.information import Information
from mixedfit.estimation.structures import has_structures, refuse_structures

from .kenward_roger import KenwardRoger, KenwardRogerResult, check_kenward_roger
from .satterthwaite import satterthwaite_df, satterthwaite_f_df
from .structured.degrees import StructuredDegrees
from .structured.information import affordable

__all__ = [
    "Ddf",
    "Degrees",
    "degrees_of_freedom",
    "failed_note",
    "failed_notes",
    "method_named",
    "unknown_note",
]

Ddf: TypeAlias = Literal["satterthwaite", "kenward-roger", "residual", "normal"] | KenwardRoger
"""Methods for the denominator degrees of freedom."""

_NAMES = ("satterthwaite", "kenward-roger", "residual", "normal")

_SHORT = {"kr": "kenward-roger", "kenwardroger": "kenward-roger", "z": "normal"}


@dataclass(frozen=True, eq=False)
class Degrees:
    """Covariance matrix of the fixed effects and degrees of freedom of their tests, by one method.

    Parameters
    ----------
    fit : Fit
    method : str or KenwardRoger
    """

    fit: Fit
    method: Ddf

    @property
    def name(self) -> str:
        """Name of the method, as tables print it."""
        if isinstance(self.method, KenwardRoger):
            first = ", first order" if has_structures(self.fit.design) else ""
            return f"Kenward-Roger ({self.method.information} information{first})"
        words = {"satterthwaite": "Satterthwaite", "residual": "residual", "normal": "normal"}
        return words[self.method]

    @lazy
    def _information(self) -> Information:
        return Information(self.fit)

    @lazy
    def _kenward_roger(self) -> KenwardRogerResult:
        assert isinstance(self.method, KenwardRoger)
        return KenwardRogerResult(self._information, self.method.information)

    @lazy
    def covariance(self) -> Array:
        """Covariance of all fixed effects, NaN for dropped columns, shape (p, p)."""
        if not isinstance(self.method, KenwardRoger) or not self.fit.design.blocks:
            return self.fit.beta_covariance
        out = np.full_like(self.fit.beta_covariance, np.nan)
        kept = self.fit.cross.fixed.kept
        out[np.ix_(kept, kept)] = self._kenward_roger.adjusted
        failed = np.diag(out) <= 0
        out[failed], out[:, failed] = np.nan, np.nan
        return out

    def covariance_of(self, contrasts: Array) -> Array:
        """Return the covariance of contrasts of the estimated coefficients, L Var(β̂) Lᵀ, shape (q, q)."""
        return self.inner_covariance_of(self.fit.inner_contrasts(contrasts))

    def inner_covariance_of(self, inner: Array) -> Array:
        """Return `covariance_of` contrasts that `Fit.inner_contrasts` returned."""
        fit = self.fit
        if isinstance(self.method, KenwardRoger) and fit.design.blocks:
            return np.asarray(fit.sigma**2 * inner @ self._kenward_roger.adjusted_inner @ inner.T)
        return fit.sigma**2 * fit.inner_covariance_of(inner)

    def _estimated(self, contrasts: Array) -> Array | None:
        """Return contrasts over the estimated columns of X, or None if a dropped column has a nonzero weight."""
        kept = self.fit.cross.fixed.kept
        rest = np.delete(contrasts, kept, axis=1)
        return None if np.any(rest != 0) else contrasts[:, kept]

    def df(self, contrast: Array) -> float:
        """Return the degrees of freedom of the t test of one contrast, shape (p,); infinite for ``"normal"``."""
        if self.method == "normal":
            return float("inf")
        if self.method == "residual":
            return float(self.fit.cross.n - self.fit.cross.p_total)
        own = self._estimated(contrast[None])
        if own is None:
            return float("nan")
        if not self.fit.design.blocks:
            return float(self.fit.cross.n - self.fit.cross.p_total)
        if isinstance(self.method, KenwardRoger):
            return self._kenward_roger.f_scaling(own)[0]
        return satterthwaite_df(self._information, own[0])

    def f_df(self, contrasts: Array) -> tuple[float, float]:
        """Return the denominator degrees of freedom and the scale factor of F, for (q, p) contrasts of full rank."""
        if self.method in ("normal", "residual") or not self.fit.design.blocks:
            return self.df(contrasts[0]), 1.0
        own = self._estimated(contrasts)
        if own is None:
            return float("nan"), 1.0
        if isinstance(self.method, KenwardRoger):
            return self._kenward_roger.f_scaling(own)
        return satterthwaite_f_df(self._information, own), 1.0


def degrees_of_freedom(fit: Fit, ddf: Ddf | None) -> Degrees:
    """Return the degrees of freedom by a method; by default Satterthwaite for REML fits, normal for ML.

    Raises
    ------
    ModelError
        If the method is unknown, or not available for the model.
    """
    if ddf is None:
        ddf = "satterthwaite" if fit.reml and (fit.residual is None or affordable(fit)) else "normal"
    ddf = method_named(ddf)
    if ddf == "kenward-roger":
        ddf = KenwardRoger()
    if not isinstance(ddf, KenwardRoger):
        check_one_of("ddf", ddf, _NAMES)
    else:
        check_kenward_roger(fit)
        if ddf.information == "observed":
            refuse_structures(
                fit.design,
                "Kenward-Roger tests with observed information",
                "Use KenwardRoger(information='expected') or 'satterthwaite'.",
            )
    if fit.residual is not None:
        return cast(Degrees, StructuredDegrees(fit, ddf))
    return Degrees(fit, ddf)


def method_named(ddf: Any) -> Any:
    """Return the method of a name, which may have capitals, spaces or be short: "Kenward-Roger", "KR"."""
    if not isinstance(ddf, str):
        return ddf
    plain = ddf.strip().lower().replace("_", "-").replace(" ", "-")
    name = _SHORT.get(plain, plain)
    return name if name in (*_NAMES, "none") else ddf


def failed_note(method: str, names: Sequence[str]) -> str:
    """Return the note on tests for which the Kenward–Roger method gives no positive variance or no F distribution."""
    return (
        f"{method.split(' (')[0]} has failed for {', '.join(names)}: the data hardly determine the variances, and the "
        "approximation gives a negative variance or F. Use ddf='satterthwaite', or test with "
        "mixedfit.parametric_bootstrap_test."
    )


def failed_notes(degrees: Degrees, errors: Any, names: Iterable[object], estimable: Any) -> list[str]:
    """Return `failed_note` for the estimable rows of a table that have no standard error; nothing if all have one."""
    lost = np.isnan(np.asarray(errors, dtype=float)) & np.asarray(estimable, dtype=bool)
    failed = dict.fromkeys(str(name) for name, gone in zip(names, lost, strict=True) if gone)
    return [failed_note(degrees.name, list(failed))] if failed else []


def unknown_note(fit: Fit) -> str:
    """Return the note that explains missing degrees of freedom of the levels of a factor stored as codes."""
    names = ", ".join(repr(factor.grouping.name) for factor in fit.design.many)
    return (
        f"Degrees of freedom, p-values and limits are not known where levels of {names} enter, which are too many "
        "for them; use ddf='residual' or ddf='normal'."
    )
