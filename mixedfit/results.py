"""What a fitted model says: labelled tables, under statsmodels' names, and doors to further questions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from . import storage
from ._lazy import lazy
from .bayes.stored import read_posterior
from .diagnosed import Diagnosed
from .errors import DataError
from .fit import Fit, refit_design
from .inference.degrees import Ddf
from .labels import levels_table, term_rows
from .outputs import Outputs
from .parameters import Names, labels_of, parameters_of, values_of, variance_parameters
from .predictions import Predictions
from .questions import Questions
from .summary import Summary, summarise
from .verdict import Convergence

__all__ = ["MixedResults"]


class MixedResults(Questions, Predictions, Diagnosed, Outputs):
    """A fitted linear mixed model.

    Every attribute is computed when it is first asked for. Made by `LinearMixedModel.fit`.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> round(float(fit.params["Days"]), 3), round(fit.reml_criterion, 1)
    (10.467, 1743.6)
    """

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def __repr__(self) -> str:
        kind = "REML" if self._fit.reml else "ML"
        return f"<MixedResults: {self.formula!r} by {kind}, {self.nobs} rows, {self.convergence.status}>"

    # -- the model ---------------------------------------------------------------------------------

    @property
    def formula(self) -> str:
        """The formula as written."""
        return self._fit.design.formula.source

    @property
    def reml(self) -> bool:
        """True for a REML fit, False for maximum likelihood."""
        return self._fit.reml

    @property
    def nobs(self) -> int:
        """Rows that the likelihood counts: complete and with a positive weight."""
        return self._fit.cross.n

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of every grouping factor."""
        return {block.name: block.levels for block in self._fit.design.blocks}

    @property
    def df_resid(self) -> int:
        """Rows less all parameters (fixed effects, θ and σ), as lme4 prints it."""
        return self.nobs - self._fit.n_parameters

    @property
    def timing(self) -> Mapping[str, float]:
        """Seconds spent on each stage of the fit."""
        return dict(self._fit.timing)

    # -- fixed effects -----------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects; NaN for columns that were dropped because others span them."""
        return pd.Series(self._fit.beta.copy(), index=self._names.view(), name="estimate")

    def parameters(self, names: Names = "long") -> pd.Series[float]:
        """Return all parameters: standard deviations, correlations, σ and fixed effects.

        Parameters
        ----------
        names : {"long", "lme4", "words"}
            As of `conf_int`. Under the long ones `simulate_lmm` and `power` take them.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> fit.parameters().round(2)
        sd_(Intercept)|Batch      42.00
        sigma                     49.51
        (Intercept)             1527.50
        Name: estimate, dtype: float64
        """
        fit = self._fit
        fixed = [p for p in parameters_of(fit) if p.kind == "fixed"]
        every = [*variance_parameters(fit.design), *fixed]
        return pd.Series(values_of(fit, every), index=labels_of(every, names), name="estimate")

    @lazy
    def _names(self) -> pd.Index[str]:
        """The coefficients' names."""
        return pd.Index(self._fit.coefficient_names)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects."""
        names = list(self._fit.coefficient_names)
        return pd.DataFrame(self._fit.beta_covariance.copy(), index=names, columns=names)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects."""
        variances = np.diag(self._fit.beta_covariance)
        return pd.Series(np.sqrt(variances), index=self._names.view(), name="std_error")

    @property
    def tvalues(self) -> pd.Series[float]:
        """Fixed effects over their standard errors."""
        return (self.params / self.bse).rename("statistic")

    # -- variances ---------------------------------------------------------------------------------

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self._fit.sigma

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self._fit.sigma**2

    @property
    def theta(self) -> pd.Series[float]:
        """Relative covariance parameters, in lme4's order and names."""
        return pd.Series(self._fit.theta.copy(), index=pd.Index(self._fit.design.theta_names), name="theta")

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances, covariances, SDs and correlations as lme4's ``as.data.frame(VarCorr(fit))``.

        Columns grp, var1, var2, vcov, sdcor; var2 is None in the rows of variances, var1 too in the residual's.
        """
        rows: list[tuple[str, str | None, str | None, float, float]] = []
        for block, omega in zip(self._fit.design.blocks, self._fit.omega, strict=True):
            at = 0
            for number, (part, size) in enumerate(zip(block.structure.parts, block.term_sizes, strict=True)):
                name = block.name if number == 0 else f"{block.name}.{number}"
                here = slice(at, at + size)
                rows += term_rows(name, block.effects[here], omega[here, here], part.invariance == "linear")
                at += size
        rows.append(("Residual", None, None, self.scale, self.sigma))
        table = pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])
        for column in ("var1", "var2"):
            values = [row[1 if column == "var1" else 2] for row in rows]
            table[column] = pd.Series(values, dtype=object)
        return table

    @property
    def cov_re(self) -> dict[str, pd.DataFrame]:
        """Ω, the covariance matrix of one level's random effects: for every grouping factor, effects × effects."""
        return {
            block.name: levels_table(pd.Index(block.effects), block.effects, omega)
            for block, omega in zip(self._fit.design.blocks, self._fit.omega, strict=True)
        }

    # -- random effects ----------------------------------------------------------------------------

    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs): for every grouping factor a table of levels × effects."""
        return {
            block.name: levels_table(block.grouping.levels, block.effects, modes)
            for block, modes in zip(self._fit.design.blocks, self._fit.modes, strict=True)
        }

    @property
    def random_effects_cov(self) -> dict[str, pd.DataFrame]:
        """Conditional covariances of the random effects given y and the parameters.

        For every grouping factor a table with an index of (level, effect) and a column for each effect.
        """
        out = {}
        for block, cov in zip(self._fit.design.blocks, self._fit.mode_covariance, strict=True):
            index = pd.MultiIndex.from_product(
                [block.grouping.levels, list(block.effects)], names=["level", "effect"]
            )
            out[block.name] = pd.DataFrame(cov.reshape(-1, block.k), index=index, columns=list(block.effects))
        return out

    @property
    def group_coefs(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each group, β + b: the shrunken counterparts of per-group regressions.

        Effects without a fixed counterpart appear as b alone, as in lme4's ``coef``.
        """
        out = {}
        for name, table in self.random_effects.items():
            fixed = self.params[: len(self._fit.design.x_names)]
            columns = list(fixed.index) + [effect for effect in table.columns if effect not in fixed.index]
            coefs = pd.DataFrame(
                np.tile(np.nan_to_num([float(fixed.get(c, 0.0)) for c in columns]), (len(table), 1)),
                index=table.index,
                columns=columns,
            )
            coefs[list(table.columns)] += table
            out[name] = coefs
        return out

    # -- likelihood --------------------------------------------------------------------------------

    @property
    def deviance(self) -> float:
        """−2 log-likelihood; for a REML fit, of the ML likelihood at the REML estimate of θ."""
        return self._fit.deviance

    @property
    def reml_criterion(self) -> float:
        """−2 restricted log-likelihood; for an ML fit, at the ML estimate of θ."""
        return self._fit.reml_criterion

    @property
    def llf(self) -> float:
        """Log-likelihood that was maximised: restricted for REML."""
        return -0.5 * self._fit.evaluation.value

    @property
    def aic(self) -> float:
        """Akaike's criterion, −2 llf + 2 (number of parameters), as lme4 computes it."""
        return -2.0 * self.llf + 2.0 * self._fit.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, −2 llf + log(nobs) (number of parameters), as lme4 computes it."""
        return -2.0 * self.llf + float(np.log(self.nobs)) * self._fit.n_parameters

    @property
    def aicc(self) -> float:
        """`aic` corrected for few rows, aic + 2k(k + 1)/(n − k − 1); Hurvich & Tsai (1989), Biometrika 76:297."""
        k, n = self._fit.n_parameters, self.nobs
        return self.aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")

    @property
    def n_parameters(self) -> int:
        """Parameters that the information criteria count: fixed effects, θ, and σ unless it was held."""
        return self._fit.n_parameters

    # -- rows --------------------------------------------------------------------------------------

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Xβ + Zb (plus offset) on the rows of the fit, under the data's index."""
        return pd.Series(self._fit.fitted.copy(), index=self._fit.design.index, name="fitted")

    @property
    def resid(self) -> pd.Series[float]:
        """Response less `fittedvalues`."""
        return pd.Series(self._fit.response - self._fit.fitted, index=self._fit.design.index, name="resid")

    @property
    def scaled_resid(self) -> pd.Series[float]:
        """Residuals times √weight over σ: what the summary's quantiles describe."""
        weights = self._fit.design.weights
        values = self.resid / self.sigma
        return (values if weights is None else values * np.sqrt(weights)).rename("scaled_resid")

    # -- verdict and further work ------------------------------------------------------------------

    @property
    def convergence(self) -> Convergence:
        """The verdict: status, what a further step promised, and advice in words."""
        return self._fit.convergence

    @property
    def converged(self) -> bool:
        """Whether an optimum was reached, at the boundary or inside."""
        return self._fit.convergence.converged

    @property
    def singular(self) -> bool:
        """Whether a random-effects covariance has no full rank (a variance of 0, a correlation of ±1)."""
        return bool(self._fit.convergence.singular)

    def refit(self, y: Any) -> MixedResults:
        """Return the same model fitted to another response.

        X and Z are not built or factorised again; the search starts from this fit's θ.

        Parameters
        ----------
        y : array or Series, shape (nobs,)
            Finite numbers on the scale of the formula's left side, one for each row of the fit
            (`fittedvalues.index`); a Series is matched by its index.
        """
        fit = self._fit
        if isinstance(y, pd.Series) and not y.index.equals(fit.design.index):
            if not (y.index.is_unique and fit.design.index.isin(y.index).all()):
                raise DataError(
                    "the new response is a Series whose index lacks rows of the fit; give it the fit's index "
                    "(fit.fittedvalues.index), or pass y.to_numpy() to go by position."
                )
            y = y.loc[fit.design.index]
        try:
            values = np.asarray(y, dtype=float)
        except (TypeError, ValueError):
            raise DataError("the new response must be numbers, one for each row of the fit.") from None
        offset = self._fit.design.offset
        if offset is not None and values.shape == offset.shape:
            values = values - offset
        return MixedResults(refit_design(self._fit, values))

    def summary(self, *, correlation: bool = False, ddf: Ddf | Literal["none"] | None = None) -> Summary:
        """Return the summary: prints as lme4 does, shows as HTML in a notebook.

        Parameters
        ----------
        correlation : bool
            Whether to print the correlation of the fixed effects.
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal", "none"} or KenwardRoger, optional
            Degrees of freedom behind the p-values: Satterthwaite by default for REML, as lmerTest prints them, the
            normal distribution for ML; "none" prints lme4's columns only.
        """
        return summarise(self, correlation=correlation, ddf=ddf)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def save(self, path: str | Path) -> None:
        """Write the fit, its data included, to a file that holds numbers and text only (npz).

        Parameters
        ----------
        path : str or Path
            Any name; ``.npz`` is usual. Read it with `mixedfit.load`.
        """
        storage.write(self._fit, path)


def load(path: str | Path) -> Any:
    """Return a fit that `MixedResults.save` wrote, or a posterior that `Posterior.save` wrote.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    DataError
        If the file is not one of ours or is damaged.
    """
    found = storage.read(path, {"posterior": read_posterior})
    return MixedResults(found) if isinstance(found, Fit) else found
