"""Tables of a posterior with the names that a fit has: intervals, tidy rows, hypotheses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.options import check_level, check_one_of
from mixedfit.core.printed_frame import PrintedFrame
from mixedfit.estimation.parameters import Parameter, variance_parameters

from .draws import INTERVALS, summary_table
from .expressions import compared_sides, evaluate
from .queries import event_probability
from .record import PosteriorDraws

__all__ = ["chosen_parameters", "hypothesis_table", "interval_table", "tidy_table"]

EFFECTS = ("ran_pars", "fixed")


def interval_table(
    posterior: PosteriorDraws, level: float, parameters: str | Iterable[str] | None, interval: str
) -> pd.DataFrame:
    """Return credible intervals, columns lower and upper; see `Posterior.conf_int`."""
    names = chosen_parameters(posterior, parameters)
    draws = np.stack([posterior[name] for name in names], axis=2)
    return _limits(draws, names, check_level(level), interval)


def _limits(draws: Array, names: Sequence[str], level: float, interval: str) -> pd.DataFrame:
    """Return limits of draws, shape (chains, draws, quantities)."""
    check_one_of("interval", interval, INTERVALS)
    tails = (0.5 - 0.5 * level, 0.5 + 0.5 * level)
    if interval == "quantiles":
        limits = np.quantile(draws, tails, axis=(0, 1)).T
    else:
        table = summary_table(draws, pd.Index(names), quantiles=(), interval=interval, level=level)
        limits = table[[f"{interval}_lower", f"{interval}_upper"]].to_numpy()
    return pd.DataFrame(limits, index=pd.Index(names), columns=["lower", "upper"])


def chosen_parameters(posterior: PosteriorDraws, parameters: str | Iterable[str] | None) -> list[str]:
    """Return the names of parameters: all, "fixed" or "variances", or those given.

    Raises
    ------
    ModelError
        If a name is not known, or none are given.
    """
    fixed = {posterior.design.x_names[i] for i in posterior.kept}
    if parameters is None:
        return list(posterior.names)
    if isinstance(parameters, str) and parameters in ("fixed", "variances"):
        return [name for name in posterior.names if (name in fixed) == (parameters == "fixed")]
    names = [posterior.name_of(n) for n in ([parameters] if isinstance(parameters, str) else parameters)]
    if not names:
        raise ModelError("no parameters are chosen; expected names, 'fixed' or 'variances'.")
    return names


def tidy_table(
    posterior: PosteriorDraws, effects: str | Sequence[str], *, conf_int: bool, level: float, interval: str
) -> pd.DataFrame:
    """Return a row for each term in the columns of broom.mixed; see `Posterior.tidy`."""
    wanted = (effects,) if isinstance(effects, str) else tuple(effects)
    for kind in wanted:
        if kind not in EFFECTS:
            hint = nearest(str(kind), EFFECTS)
            raise ModelError(
                f"effects={kind!r} is not known; expected 'ran_pars', 'fixed' or both. {hint}".rstrip()
            )
    rows = [row for kind in wanted for row in _rows(posterior, kind)]
    names = [name for name, *_ in rows]
    draws = np.stack([posterior[name] for name in names], axis=2)
    table = pd.DataFrame([row[1:] for row in rows], columns=["effect", "group", "term"], dtype=object)
    table["estimate"] = draws.mean(axis=(0, 1))
    table["std.error"] = draws.std(axis=(0, 1), ddof=1)
    if conf_int:
        limits = _limits(draws, names, check_level(level), interval).to_numpy()
        table["conf.low"], table["conf.high"] = limits[:, 0], limits[:, 1]
    return PrintedFrame(table)


def _rows(posterior: PosteriorDraws, kind: str) -> list[tuple[str, str, str | None, str]]:
    """Return name, effect, group and term of each parameter of a kind."""
    if kind == "fixed":
        return [(name, "fixed", None, name) for name in chosen_parameters(posterior, "fixed")]
    known = {p.long_name: p for p in variance_parameters(posterior.design, with_sigma=False)}
    out: list[tuple[str, str, str | None, str]] = []
    for name in chosen_parameters(posterior, "variances"):
        group, term = ("Residual", "sd__Observation" if name == "sigma" else name)
        if name in known:
            group, term = _group_and_term(posterior, known[name])
        out.append((name, "ran_pars", group, term))
    return out


def _group_and_term(posterior: PosteriorDraws, parameter: Parameter) -> tuple[str, str]:
    """Return the group of a parameter, numbered from the second term of a factor on, and its term."""
    block = posterior.design.blocks[parameter.block]
    number = next(
        i
        for i, (_, _, here) in enumerate(block.structure.slices())
        if here.start <= parameter.first < here.stop
    )
    group = f"{block.name}.{number}" if number else block.name
    low, high = sorted((parameter.first, parameter.second))
    if parameter.kind == "sd":
        return group, f"sd__{block.effects[low]}"
    return group, f"cor__{block.effects[low]}.{block.effects[high]}"


def hypothesis_table(
    posterior: PosteriorDraws, hypotheses: str | Sequence[str], level: float
) -> pd.DataFrame:
    """Return the probability of each hypothesis, and its difference of sides; see `Posterior.hypothesis`."""
    check_level(level)
    texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    rows = []
    for text in texts:
        left, right = compared_sides(text, posterior.names)
        sides = [np.asarray(evaluate(side, posterior.names, posterior.__getitem__)) for side in (left, right)]
        difference = np.broadcast_to(sides[0] - sides[1], posterior.sigma.shape)
        happened = event_probability(posterior, text)
        lower, upper = np.quantile(difference, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
        with np.errstate(divide="ignore"):
            odds = float(np.float64(happened.value) / (1.0 - happened.value))
        spread = float(np.std(difference, ddof=1))
        rows.append((float(difference.mean()), spread, lower, upper, happened.value, happened.mcse, odds))
    columns = ["difference", "sd", "lower", "upper", "probability", "mcse", "odds"]
    return PrintedFrame(rows, index=pd.Index(texts, name="hypothesis", dtype=object), columns=columns)
