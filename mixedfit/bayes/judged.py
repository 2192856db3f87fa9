"""How a posterior is judged: by what it predicts of data left out, and by whether its replicates look like the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from .._types import Array
from .checks import PredictiveCheck, check, replicate
from .loo import expected_density

if TYPE_CHECKING:
    from .elpd import ExpectedDensity
    from .posterior import Posterior

__all__ = ["Judged"]


class Judged:
    """Methods of `Posterior` that judge it."""

    _kind: ClassVar[Literal["posterior", "prior"]] = "posterior"

    def loo(
        self,
        *,
        by: str | None = None,
        refit: bool = False,
        efficiency: float | None = None,
        progress: bool | None = None,
    ) -> ExpectedDensity:
        """Return the expected log predictive density, by leave-one-out cross-validation without refits.

        Each row, or each group, is predicted from the posterior without it: draws are weighted by 1/p(y_i | draw), the
        largest weights smoothed (PSIS; Vehtari, Gelman & Gabry 2017, Statistics and Computing 27:1413). Their Pareto
        shape k̂ tells where that works; where it is above ``threshold``, min(1 − 1/log₁₀ draws, 0.7), it does not
        (Vehtari et al. 2024, J. Mach. Learn. Res. 25(72)).

        Parameters
        ----------
        by : str, optional
            A grouping factor: leave out a group with all its rows, and predict these as a new group's, its effects
            (and those of levels that occur in no other group) integrated out exactly. Without it one row is left out
            at a time, and predicted given the effects of its group.
        refit : bool
            Whether to sample again, with as many draws, without each row or group whose k̂ is too high, and to predict
            it from that.
        efficiency : float, optional
            Effective draws for each draw, which decides how many weights are smoothed; by default that of the
            posterior's means.
        progress : bool, optional
            Whether to show progress of more than two seconds; by default on a terminal.

        Returns
        -------
        ExpectedDensity
            Prints elpd, p_loo and looic with standard errors, and in words how far to trust them; `pointwise` and
            `pareto_k` are Series on the data's index (or the groups'). ``a - b`` compares two posteriors.

        Raises
        ------
        ModelError
            If `by` is not a grouping factor, there are fewer than 100 draws, or the effects were not kept.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> slopes = mf.lmm("Reaction ~ Days + (Days | Subject)", data).gibbs(seed=1).loo(by="Subject")
        >>> none = mf.lmm("Reaction ~ Days + (1 | Subject)", data).gibbs(seed=1).loo(by="Subject")
        >>> bool((slopes - none).elpd > 10), len(slopes.pareto_k)
        (True, 18)
        """
        return expected_density(
            cast("Posterior", self), "loo", by=by, efficiency=efficiency, refit=refit, progress=progress
        )

    def waic(self, *, by: str | None = None, progress: bool | None = None) -> ExpectedDensity:
        """Return the expected log predictive density by Watanabe's criterion: that of the data, less a penalty.

        elpd = Σ log mean p(y_i | draw) − Σ Var(log p(y_i | draw)); Watanabe (2010), J. Mach. Learn. Res. 11:3571. `loo`
        estimates the same and tells when it fails.

        Parameters
        ----------
        by, progress
            As in `loo`.

        Returns
        -------
        ExpectedDensity

        Raises
        ------
        ModelError
            As `loo`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> bool(abs(posterior.waic().elpd - posterior.loo().elpd) < 1)
        True
        """
        return expected_density(cast("Posterior", self), "waic", by=by, progress=progress)

    def check(
        self,
        statistic: Any = None,
        *,
        group: str | None = None,
        groups: Literal["same", "new"] = "same",
        draws: int = 1000,
        seed: object = None,
    ) -> PredictiveCheck:
        """Return statistics of replicated responses beside those of the data.

        Every replicate has the rows of the data and the parameters of one draw. What the model cannot produce shows as
        a statistic that lies at the edge of its replicates; Gelman, Meng & Stern (1996), Statistica Sinica 6:733.

        Parameters
        ----------
        statistic : str, callable, sequence of them, or mapping of names to them, optional
            "mean", "median", "sd", "min", "max", "skewness", "kurtosis"; "within_sd" and "between_sd", the SD of rows
            about their group's mean and that of the groups' means; or a function of a response, shape (n,), that
            returns a number. By default several of these.
        group : str, optional
            Grouping factor of "within_sd" and "between_sd"; by default that with most levels.
        groups : {"same", "new"}
            Whether replicates are of the groups of the data, with their effects, or of as many new ones, with effects
            drawn anew, which also puts the distribution of the effects to the test.
        draws : int
            Replicates, taken from draws evenly spread over all chains.
        seed : int, SeedSequence, Generator or None

        Returns
        -------
        PredictiveCheck
            Prints a table; `plots.predictive_statistics` and `plots.predictive_responses` draw it.

        Raises
        ------
        ModelError
            If a statistic is not known or is not a number, or the effects were not kept.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> checked = posterior.check(["sd", "max"], seed=1)
        >>> checked.table["observed"].round(1).tolist()
        [63.0, 1635.0]
        """
        posterior = cast("Posterior", self)
        return check(posterior, self._kind, statistic, group=group, groups=groups, draws=draws, seed=seed)

    def replicate(
        self, draws: int = 100, *, groups: Literal["same", "new"] = "same", seed: object = None
    ) -> Array:
        """Return replicated responses for the rows of the data, shape (draws, n).

        Parameters
        ----------
        draws : int
        groups : {"same", "new"}
            As in `check`.
        seed : int, SeedSequence, Generator or None
        """
        return replicate(cast("Posterior", self), draws, groups, seed)
