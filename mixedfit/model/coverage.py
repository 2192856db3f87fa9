"""Coverage and width of intervals, by simulation: frequentist and credible intervals on the same data sets."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from mixedfit.bayes.model.residual_structure import check_sampled
from mixedfit.core.arrays import Array
from mixedfit.core.errors import BootstrapWarning, ModelError, nearest, warn
from mixedfit.core.options import check_count, check_level
from mixedfit.core.other_programs import hinted
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.covariance.residual import ResidualStructure
from mixedfit.design.design import Design
from mixedfit.estimation.parameters import variance_parameters
from mixedfit.estimation.structures import refuse_structures
from mixedfit.formula.parse import Expand
from mixedfit.inference.bootstrap.replicates import REFIT_ERRORS, count_reasons, reason_of
from mixedfit.inference.power.assumed_residual import residual_names
from mixedfit.inference.power.study import AssumedParameters, Study, read_parameters, study_of
from mixedfit.tasks import check_executor, mapped

from .coverage_table import METHODS, Coverage, IntervalMethod
from .lmm import LinearMixedModel
from .results import MixedResults

__all__ = ["coverage"]

_FIXED_ONLY = ("wald", "satterthwaite", "kenward-roger")
"""Methods with intervals of fixed effects only."""

DRAWS: Mapping[str, Any] = {"draws": 500, "tune": 500, "chains": 2}
"""Length of the posterior sample of a data set."""


@hinted
def coverage(
    formula: str,
    data: Any,
    params: Any,
    *,
    methods: IntervalMethod | Sequence[IntervalMethod] | None = None,
    parameters: str | Sequence[str] | None = None,
    level: float = 0.95,
    n: int = 200,
    reml: bool = True,
    priors: Mapping[str, Any] | None = None,
    replicates: int = 200,
    seed: object = None,
    progress: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
    executor: Any = None,
) -> Coverage:
    """Return how often intervals of several methods contain the true parameters, and how wide they are.

    Responses are drawn from the model with the assumed parameters. All methods are applied to each of them.

    Parameters
    ----------
    formula, data, weights, offset, expand, context, residual
        As for `simulate_lmm`.
    params : mapping, Series or fit
        True values by name, as for `simulate_lmm`, without arrays; or a fit, such as one of a pilot study.
    methods : sequence of str, optional
        Some of "wald" (normal quantiles), "satterthwaite" and "kenward-roger" (t quantiles; Kenward–Roger adjusts the
        standard errors too), "profile", "bootstrap" (parametric, percentiles) and "credible" (quantiles of the
        posterior). The first three are of fixed effects only. By default all, without "credible" for models that the
        sampler does not have, such as an unstructured covariance of residuals.
    parameters : str or sequence of str, optional
        Some of the parameters, by their names in ``fit.conf_int(names="long")``; all by default.
    level : float
        Nominal coverage.
    n : int
        Number of data sets; 200 give the coverage to about ±0.03, 1,000 to ±0.014.
    reml : bool
        Whether models are fitted by REML; profiles are of the likelihood in any case.
    priors : mapping, optional
        As in `LinearMixedModel.gibbs`, for the credible intervals.
    replicates : int
        Replicates of each bootstrap.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
        The same seed gives the same data, and fewer data sets are the first of more.
    progress : bool, optional
        Whether to show progress after two seconds; by default on a terminal. Ctrl-C keeps the data sets done.
    executor : dask.distributed.Client or concurrent.futures.Executor, optional
        Whose workers simulate and fit; the numbers are the same.

    Returns
    -------
    Coverage
        Prints as a table; ``.table`` holds the numbers, ``.intervals`` every interval; ``.plot()`` draws both.

    Raises
    ------
    ModelError
        If a parameter, a method or an option is not valid.

    Examples
    --------
    >>> import mixedfit as mf
    >>> truth = {"(Intercept)": 16, "GenotypeB": -4, "sd_(Intercept)|Tray": 3, "sigma": 2}
    >>> data, formula = mf.load_dataset("seedling_weight"), "SeedlingWeight ~ Genotype + (1 | Tray)"
    >>> found = mf.coverage(
    ...     formula, data, truth, methods=["wald", "kenward-roger"], parameters="GenotypeB", n=50, seed=1
    ... )
    >>> found.table.shape
    (2, 8)
    """
    check_executor(executor)
    check_count("n", n, 1)
    check_count("replicates", replicates, 10)
    study = study_of(
        formula, data, weights=weights, offset=offset, expand=expand, context=context, residual=residual
    )
    chosen = _possible_methods(study.design) if methods is None else _checked_methods(methods)
    if "credible" in chosen:
        _check_credible(study.design)
    assumed = read_parameters(study.design, params)
    truth = _true_values(study.design, params, parameters)
    sequence = seed_sequence(seed)
    runner = _Runner(study, assumed, truth, chosen, check_level(level), reml, priors, replicates)
    found: dict[int, _Intervals] = {}
    with Progress(progress) as shown, warnings.catch_warnings():
        try:
            for number, own in mapped(executor, _intervals, runner, _children(sequence, n)):
                found[number] = own
                shown.count(len(found), n, "data sets")
        except KeyboardInterrupt:
            if not found:
                raise
    if len(found) < n:
        warn(f"stopped after {len(found)} of {n} data sets, which are kept.", BootstrapWarning)
    in_order = [found[number] for number in sorted(found)]
    reasons = dict(enumerate(reason for own in in_order for reason in own.reasons))
    return Coverage.of(
        np.array([own.limits for own in in_order]),
        truth,
        chosen,
        runner.applies,
        level=float(level),
        formula=study.design.formula.source,
        reml=reml,
        seed=sequence.entropy,
        requested=n,
        reasons=count_reasons(reasons),
        residual="" if study.design.residual is None else str(study.design.residual.structure),
    )


def _children(sequence: np.random.SeedSequence, n: int) -> list[np.random.SeedSequence]:
    return [np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, r)) for r in range(n)]


def _check_credible(design: Design) -> None:
    """Raise `ModelError` for models that the sampler does not have."""
    refuse_structures(
        design, "credible intervals", 'Leave "credible" out of methods=, or write (effects | group).'
    )
    if design.residual is not None:
        check_sampled(design.residual, "credible intervals (methods=) are")


def _possible_methods(design: Design) -> tuple[IntervalMethod, ...]:
    """Return all methods that a model has."""
    try:
        _check_credible(design)
    except ModelError:
        return tuple(method for method in METHODS if method != "credible")
    return METHODS


def _checked_methods(methods: str | Sequence[str]) -> tuple[IntervalMethod, ...]:
    """Return the methods, each once."""
    listed = [methods] if isinstance(methods, str) else list(methods)
    for method in listed:
        if method not in METHODS:
            raise ModelError(
                f"methods has {method!r}; expected some of {', '.join(map(repr, METHODS))}. "
                f"{nearest(str(method), METHODS)}".rstrip()
            )
    if not listed:
        raise ModelError(f"methods is empty; expected some of {', '.join(map(repr, METHODS))}.")
    return tuple(method for method in METHODS if method in listed)


def _true_values(design: Design, params: Any, chosen: str | Sequence[str] | None) -> pd.Series[float]:
    """Return the true values by long name, of the chosen parameters."""
    if callable(getattr(params, "parameters", None)):
        params = params.parameters("long").fillna(0.0)
    if any(name in params and name not in design.x_names for name in ("beta", "theta")):
        raise ModelError("coverage needs true values by name, such as those of fit.parameters(), not arrays.")
    values = {}
    for parameter in variance_parameters(design):
        names = (parameter.long_name, parameter.name, parameter.words)
        given = next((params[name] for name in names if name in params), 0.0)
        values[parameter.long_name] = float(given)
    values.update({name: float(params[name]) for name in [*residual_names(design), *design.x_names]})
    truth = pd.Series(values, name="true")
    if chosen is None:
        return truth
    wanted = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in wanted:
        if name not in values:
            raise ModelError(
                f"{name!r} is not a parameter; expected some of {', '.join(map(repr, values))}. "
                f"{nearest(str(name), list(values))}".rstrip()
            )
    return truth[list(dict.fromkeys(wanted))]


@dataclass(frozen=True, eq=False)
class _Intervals:
    """Intervals of one data set.

    Attributes
    ----------
    limits : ndarray, shape (methods, parameters, 2)
        NaN where a method has no interval or failed.
    reasons : list of str
        Why methods failed.
    """

    limits: Array
    reasons: list[str]


def _intervals(runner: _Runner, number: int, seed: np.random.SeedSequence) -> _Intervals:
    """Return the intervals of a data set, as a task."""
    return runner.intervals(seed)


class _Runner:
    """The methods applied to one simulated data set after another.

    Attributes
    ----------
    applies : ndarray of bool, shape (methods, parameters)
        Whether a method has an interval of a parameter.
    """

    def __init__(
        self,
        study: Study,
        assumed: AssumedParameters,
        truth: pd.Series[float],
        methods: tuple[IntervalMethod, ...],
        level: float,
        reml: bool,
        priors: Mapping[str, Any] | None,
        replicates: int,
    ) -> None:
        self.study, self.assumed, self.methods = study, assumed, methods
        self.names, self.level, self.reml = list(truth.index), level, reml
        self.priors, self.replicates = priors, replicates
        fixed = np.isin(self.names, study.design.x_names)
        self.applies = np.array([fixed | (method not in _FIXED_ONLY) for method in methods])
        self.methods_used = [m for m, own in zip(methods, self.applies, strict=True) if own.any()]

    def intervals(self, seed: np.random.SeedSequence) -> _Intervals:
        """Return the intervals for one draw of the response."""
        own, bootstrap, posterior = seed.spawn(3)
        design = self.study.design
        y = self.assumed.draw(design, 1, np.random.default_rng(own))[0]
        model = LinearMixedModel(design.formula, design.with_response(y), data=self.study.frame)
        seeds = {"bootstrap": bootstrap, "credible": posterior}
        out = _Intervals(np.full((len(self.methods), len(self.names), 2), np.nan), [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit: MixedResults | None = None
            for m, method in enumerate(self.methods):
                if method not in self.methods_used:
                    continue
                try:
                    if method != "credible" and fit is None:
                        fit = model.fit(reml=self.reml)
                    table = self._table(method, model, fit, seeds.get(method))
                except REFIT_ERRORS as error:
                    out.reasons.append(f"{method}: {reason_of(error)}")
                    continue
                values = table.reindex(self.names).to_numpy()
                out.limits[m] = np.where(self.applies[m][:, None], values, np.nan)
        return out

    def _table(
        self, method: str, model: LinearMixedModel, fit: Any, seed: np.random.SeedSequence | None
    ) -> pd.DataFrame:
        """Return the intervals of one method, columns lower and upper."""
        if method == "credible":
            draws = model.gibbs(self.priors, **DRAWS, seed=seed, n_jobs=1, progress=False, keep_effects=False)
            return draws.conf_int(self.level)
        if method == "profile":
            found = fit.conf_int(self.level, "profile", self.names, names="long")
        elif method == "bootstrap":
            drawn = fit.bootstrap(self.replicates, seed=seed, progress=False)
            found = drawn.conf_int(self.level, names="long")
        else:
            ddf = "normal" if method == "wald" else method
            found = fit.conf_int(self.level, ddf=ddf, names="long")
        return cast(pd.DataFrame, found)
