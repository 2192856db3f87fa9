"""`CriticismMethods`: cross-validation, predictive checks, evidence and sensitivity of a posterior."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from mixedfit.core.arrays import Array

from .criticism.elpd import ExpectedDensity
from .criticism.kfold import kfold
from .criticism.loo import expected_density
from .criticism.predictive_check import PredictiveCheck, check, replicate
from .draws.record import PosteriorDraws
from .evidence.evidence import Evidence, Method, log_evidence
from .evidence.savage_dickey import DensityRatio, savage_dickey
from .sensitivity.power_scaling import PowerScaling, power_scaling

__all__ = ["CriticismMethods"]


class CriticismMethods(PosteriorDraws):
    """Cross-validation, predictive checks, evidence and sensitivity to priors; `Posterior` inherits them."""

    def loo(
        self,
        *,
        by: str | None = None,
        refit: bool = False,
        efficiency: float | None = None,
        progress: bool | None = None,
    ) -> ExpectedDensity:
        """Return the expected log predictive density by leave-one-out cross-validation without refits.

        Each row or group is predicted from the posterior without it, by importance sampling: draws have weights
        1/p(y_i | draw), the largest of which are smoothed (PSIS; Vehtari, Gelman & Gabry 2017, Statistics and Computing
        27:1413). The estimate is reliable if the Pareto shape k̂ of the weights is at most ``threshold``,
        min(1 − 1/log₁₀ draws, 0.7) (Vehtari et al. 2024, J. Mach. Learn. Res. 25(72)).

        Parameters
        ----------
        by : str, optional
            A grouping factor: leave out one group with all its rows and predict these as rows of a new group, with its
            effects (and those of levels that occur in no other group) integrated out exactly. By default one row is
            left out at a time and predicted given the effects of its group.
        refit : bool
            Whether to sample again, with as many draws, without each row or group whose k̂ is too high, and to predict
            it from that posterior.
        efficiency : float, optional
            Effective draws for each draw, which determines the number of smoothed weights; by default the mean over
            the parameters.
        progress : bool, optional
            Whether to show progress after two seconds; by default on a terminal. An interrupt keeps the refits that
            are done.

        Returns
        -------
        ExpectedDensity
            Prints elpd, p_loo and looic with standard errors, and whether they are reliable; `pointwise` and
            `pareto_k` are Series on the index of the data or the groups. ``a - b`` compares two posteriors.

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
        return expected_density(self, "loo", by=by, efficiency=efficiency, refit=refit, progress=progress)

    def kfold(
        self, k: int = 10, *, by: str | None = None, seed: object = None, progress: bool | None = None
    ) -> ExpectedDensity:
        """Return the expected log predictive density by K-fold cross-validation, with k refits.

        The rows or groups are divided at random into k parts of equal size, and each part is predicted from the
        posterior without it, with as many draws. It serves where `loo` reports many k̂ above 0.7; Vehtari, Gelman &
        Gabry (2017), Statistics and Computing 27:1413, section 2.3.

        Parameters
        ----------
        k : int
            Number of parts, at least 2; the number of groups leaves out one group at a time.
        by : str, optional
            A grouping factor: leave out whole groups and predict them as new ones, as `loo`. By default rows are left
            out, and predicted given the effects of their groups.
        seed : int, SeedSequence, Generator or None
            Seed of the division and of the refits.
        progress : bool, optional
            As in `loo`.

        Returns
        -------
        ExpectedDensity
            ``a - b`` compares two posteriors; `folds` has the part of each row or group.

        Raises
        ------
        ModelError
            If k is less than 2 or more than the number of rows or groups, `by` is not a grouping factor, not all
            coefficients can be estimated without a part, or the posterior cannot be sampled again.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> found = posterior.kfold(3, by="Batch", seed=1)
        >>> found.folds.value_counts().tolist()
        [2, 2, 2]
        """
        return kfold(self, k, by=by, seed=seed, progress=progress)

    def waic(self, *, by: str | None = None, progress: bool | None = None) -> ExpectedDensity:
        """Return the expected log predictive density by WAIC, Watanabe's information criterion.

        elpd = Σ log mean p(y_i | draw) − Σ Var(log p(y_i | draw)); Watanabe (2010), J. Mach. Learn. Res. 11:3571. `loo`
        estimates the same and has a better diagnostic.

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
        return expected_density(self, "waic", by=by, progress=progress)

    def check(
        self,
        statistic: Any = None,
        *,
        group: str | None = None,
        groups: Literal["same", "new"] = "same",
        draws: int = 1000,
        seed: object = None,
    ) -> PredictiveCheck:
        """Return a predictive check: statistics of replicated responses and of the data.

        Each replicate has the rows of the data and the parameters of one draw. A statistic of the data in the tail of
        its replicates shows a misfit of the model; Gelman, Meng & Stern (1996), Statistica Sinica 6:733.

        Parameters
        ----------
        statistic : str, callable, sequence of them, or mapping of names to them, optional
            "mean", "median", "sd", "min", "max", "skewness", "kurtosis"; "within_sd" and "between_sd", the SD of rows
            about the mean of their group and the SD of the groups' means; or a function of a response, shape (n,), that
            returns a number. By default several of these.
        group : str, optional
            Grouping factor of "within_sd" and "between_sd"; by default the factor with the most levels.
        groups : {"same", "new"}
            Whether replicates have the groups of the data, with their effects, or as many new groups, with new draws of
            effects, which also checks the distribution of the effects.
        draws : int
            Number of replicates, from draws evenly spread over all chains.
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
        return check(self, statistic, group=group, groups=groups, draws=draws, seed=seed)

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
        return replicate(self, draws, groups, seed)

    def log_evidence(self, *, method: Method = "auto", seed: object = None) -> Evidence:
        """Return the log marginal likelihood of the model under its priors, log p(y), with its error.

        β and b are integrated out exactly, and the variance parameters numerically: up to two by quadrature, with an
        error below 1e-6, more by bridge sampling from the draws (Meng & Wong 1996, Statistica Sinica 6:831; Gronau et
        al. 2017, J. Math. Psychol. 81:80). With t or Laplace residuals or effects, the mixing variables are integrated
        out exactly, and all parameters and effects by bridge sampling.

        Parameters
        ----------
        method : {"auto", "quadrature", "bridge"}
        seed : int, SeedSequence, Generator or None
            Seed of the proposals of bridge sampling.

        Returns
        -------
        Evidence
            `value`, `error` and `method`; `mixedfit.bayes_factor` compares two.

        Raises
        ------
        ModelError
            If a prior is improper, σ differs by group, residuals have a structure, the posterior was read from a file,
            or there are too few draws.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> evidence = posterior.log_evidence()
        >>> round(evidence.value, 4), evidence.method
        (-168.6742, 'quadrature')
        """
        return log_evidence(self, method, seed)

    def savage_dickey(self, hypothesis: str) -> DensityRatio:
        """Return the Bayes factor of a value of fixed effects: posterior density over prior density at this value.

        It is that of the model with these coefficients held at the value against this one, if the priors of the other
        parameters are the same in both (Dickey 1971, Ann. Math. Stat. 42:204). The posterior density is a mean over the
        draws of normal densities given the variances, which is precise far into the tails.

        Parameters
        ----------
        hypothesis : str
            A coefficient, which stands for ``= 0``, or linear equations such as ``"GenotypeB = -1"`` or
            ``"a = b = 0"``.

        Returns
        -------
        DensityRatio

        Raises
        ------
        ModelError
            If the prior of the coefficients is flat, or as `log_evidence`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> round(model.gibbs(seed=1).savage_dickey("GenotypeB").value, 1)
        2.9
        """
        return savage_dickey(self, hypothesis)

    def power_scaling(self, parameters: str | Iterable[str] | None = None) -> PowerScaling:
        """Return how the posterior changes as all priors, or the likelihood, are raised to a power near 1.

        Computed from the draws by importance weights, without sampling again; Kallioinen, Paananen, Bürkner & Vehtari
        (2024), Stat. Comput. 34:57. The distribution of the random effects belongs to the likelihood here, which is
        that of y given β, Ω and σ. Powers of a density depend on its coordinates: those of the priors are coefficients,
        standard deviations and correlations.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            By default all.

        Returns
        -------
        PowerScaling
            A table of sensitivities to prior and likelihood, with a diagnosis where that to the prior exceeds 0.05.

        Raises
        ------
        ModelError
            If the model is not normal with one σ and independent residuals, or there are fewer than 100 draws.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> far = model.gibbs({"GenotypeB": mf.priors.Normal(10, 2)}, seed=1)
        >>> far.power_scaling().table.loc["GenotypeB", "diagnosis"]
        'potential prior-data conflict'
        """
        return power_scaling(self, parameters)
