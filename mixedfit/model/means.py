"""`MeansMethods`: the questions to a fit about marginal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixedfit.core.other_programs import Hinted
from mixedfit.estimation.fit import Fit
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.emmeans.averages import Weights
from mixedfit.inference.emmeans.emmeans import MarginalMeans, MeansOptions, marginal_means
from mixedfit.inference.emmeans.joint_tests import JointTests, joint_tests
from mixedfit.inference.emmeans.reference_grid import GridOptions
from mixedfit.inference.emmeans.responses import MeanType
from mixedfit.inference.emmeans.trends import marginal_trends

__all__ = ["MeansMethods"]


class MeansMethods(Hinted):
    """Marginal means, slopes and joint tests of a fit; `MixedResults` inherits them."""

    _fit: Fit

    def emmeans(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] = (),
        *,
        at: Mapping[str, Any] | None = None,
        ddf: Ddf | None = None,
        level: float = 0.95,
        weights: Weights = "equal",
        nesting: Any = None,
        type: MeanType = "link",
        bias_adjust: bool = False,
        sigma: float | None = None,
    ) -> MarginalMeans:
        """Return estimated marginal means, as R's emmeans: averages of the fixed part over a reference grid.

        The grid has every factor at its levels with equal weights, covariates at their means (those with two values
        at both), whatever transforms the formula applies to them.

        Parameters
        ----------
        specs : str or sequence of str
            Variables of the fixed part whose combinations are listed, or a formula: ``"~ a"``, ``"~ a * b"``,
            ``"~ a | b"`` (a within b), ``"~ 1"`` (the mean of the grid).
        by : str or sequence of str
            Variables within which contrasts are taken; ``emmeans("a", "b")`` is ``emmeans("~ a | b")``.
        at : mapping, optional
            Values of variables in the grid, such as ``{"temp": [180, 200]}``.
        ddf : optional
            As in `t_test`.
        level : float
            Coverage of the intervals.
        weights : {"equal", "proportional", "outer", "cells", "flat"} or sequence of float
            Of the combinations that are averaged over: equal; by their number of rows;
            by the product of the numbers of rows of each factor's levels; by the number of rows of each cell; equal
            over the cells that occur; or numbers, the first of the variables averaged over varying fastest.
        nesting : mapping, str or False, optional
            Nested factors, such as ``{"site": ["status"]}`` or ``"site %in% status"``. By default factors are nested
            whose levels occur with one level of another only, or which the formula has only in interactions. Means
            are averaged over the levels that occur within those of the parents, and listed with these.
        type : {"link", "response"}
            Whether a transformed response, such as log(y), is transformed back. Contrasts of logarithms are then
            ratios.
        bias_adjust : bool
            With "response": whether means are adjusted for the curvature of the transformation by a second-order
            expansion, so that they are means of the response and not medians.
        sigma : float, optional
            Standard deviation of the transformed response for this adjustment; by default that of all random effects
            and residuals together.

        Returns
        -------
        MarginalMeans
            With ``table``, and ``contrasts("pairwise")`` to compare them.

        Raises
        ------
        ModelError
            If a name is not a variable of the fixed part.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> means = fit.emmeans("recipe", at={"temp": 200}, ddf="kenward-roger")
        >>> means
        recipe estimate std_error df lower upper
        A         33.12      1.74 42 29.62 36.63
        B         31.64      1.74 42 28.14 35.15
        C         31.60      1.74 42 28.09 35.11
        <BLANKLINE>
        Held at: temp = 200.
        Degrees of freedom: Kenward-Roger (expected information).
        Confidence level: 0.95.
        >>> means.contrasts("pairwise").table[["contrast", "estimate", "p_value"]].round(4)
          contrast  estimate  p_value
        0    A - B    1.4778   0.8200
        1    A - C    1.5222   0.8102
        2    B - C    0.0444   0.9998
        """
        grid = GridOptions(dict(at or {}), weights, nesting)
        options = MeansOptions(ddf, level, type, bias_adjust, sigma)
        return marginal_means(self._fit, specs, by=by, grid=grid, options=options)

    def emtrends(
        self,
        specs: str | Sequence[str],
        var: str,
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        ddf: Ddf | None = None,
        level: float = 0.95,
        weights: Weights = "equal",
        nesting: Any = None,
    ) -> MarginalMeans:
        """Return marginal slopes of a covariate, as R's emtrends: derivatives of the fixed part over a reference grid.

        Parameters
        ----------
        specs : str or sequence of str
            Cells in which slopes are listed, as in `emmeans`.
        var : str
            The covariate; its slope is that at its mean, or at the values of `at`.
        by, at, ddf, level, weights, nesting
            As in `emmeans`. Slopes are on the scale of the formula's left side.

        Raises
        ------
        ModelError
            If `var` is no number of the fixed part, or a name is unknown.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("distance ~ age * Sex + (1 | Subject)", mf.load_dataset("Orthodont")).fit()
        >>> fit.emtrends("Sex", "age")
        Sex    estimate std_error df  lower  upper
        Male     0.7844    0.0775 79 0.6301 0.9386
        Female   0.4795    0.0935 79 0.2935 0.6656
        <BLANKLINE>
        Slopes of age.
        Held at: age = 11.
        Degrees of freedom: Satterthwaite.
        Confidence level: 0.95.
        """
        grid = GridOptions(dict(at or {}), weights, nesting)
        return marginal_trends(self._fit, specs, var, by=by, grid=grid, options=MeansOptions(ddf, level))

    def joint_tests(
        self,
        by: str | Sequence[str] = (),
        *,
        at: Mapping[str, Any] | None = None,
        ddf: Ddf | None = None,
        weights: Weights = "equal",
        nesting: Any = None,
    ) -> JointTests:
        """Return joint F tests of main effects and interactions of marginal means, as R's emmeans::joint_tests.

        Without covariates, `by` and empty cells they are the type III tests of `anova`. Main effects and interactions
        of factors are those at the mean of covariates.

        Parameters
        ----------
        by : str or sequence of str
            Variables within whose combinations the others are tested.
        at, ddf, weights, nesting
            As in `emmeans`.

        Raises
        ------
        ModelError
            If a name is unknown, or nothing is left to test.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("yield ~ C(nitro) * Variety + (1 | Block/Variety)", mf.load_dataset("Oats")).fit()
        >>> fit.joint_tests(by="Variety").table.round(3)[["term", "Variety", "df_num", "statistic", "p_value"]]
            term      Variety  df_num  statistic  p_value
        0  nitro  Golden Rain       3     13.023      0.0
        1  nitro   Marvellous       3      9.953      0.0
        2  nitro      Victory       3     15.316      0.0
        """
        return joint_tests(self._fit, by, at=at, ddf=ddf, weights=weights, nesting=nesting)
