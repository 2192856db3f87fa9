"""Prior, likelihood and posterior of parameters, in a panel for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfit.bayes.posterior import Posterior
from mixedfit.bayes.priors.densities import PriorDensity, prior_densities
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import blas_threads
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.estimation.parameters import variance_parameters
from mixedfit.inference.profile.curve import Curve
from mixedfit.inference.profile.profile import Profile

from ._text import legend_above
from .style import BLUE, GREEN, ORANGE, chosen_names, finish, grid, new_axes, reference_line, sized

__all__ = ["prior_and_posterior"]

IMPROPER = 0.4
"""Height of an improper prior's density at its highest place, as a share of the panel's."""

BEYOND = 4
"""Widths of the axis on each side to which the prior is drawn beyond it."""


def prior_and_posterior(
    posterior: Posterior,
    priors: Mapping[str, Any] | None = None,
    parameters: str | Sequence[str] | None = None,
    *,
    profile: Profile | None = None,
    range: tuple[float, float] | None = None,
    columns: int = 3,
    ax: Any = None,
) -> Any:
    """Draw prior, likelihood and posterior of each parameter in one panel; return the figure, or `ax`.

    The dashed line is the density of the prior, the histogram the posterior, and the solid line the density that the
    likelihood profile implies, φ(ζ) dζ/dψ, if a profile is given. The height of an improper prior has no meaning;
    its legend says so. Each parameter has an axes, labelled with its name.

    Parameters
    ----------
    posterior : Posterior
        From `LinearMixedModel.gibbs`.
    priors : mapping of str to prior, optional
        Those that `gibbs` was given; by default mixedfit's defaults.
    parameters : str or sequence of str, optional
        Names of parameters; by default all that have a prior of their own.
    profile : Profile, optional
        From ``fit.profile()`` of a fit of the same model.
    range : pair of float, optional
        Limits of the horizontal axis, for one parameter; by default those of the posterior, with a margin.
    columns : int
        Panels in a row.
    ax : matplotlib Axes, optional
        For one parameter.

    Raises
    ------
    ModelError
        If the priors are not those of the posterior, a parameter is not known or has no density, `ax` or `range` is
        given for several, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    >>> priors = {"Tray": mf.priors.HalfCauchy(1), "GenotypeB": mf.priors.Normal(0, 2)}
    >>> posterior, profile = model.gibbs(priors, seed=1), model.fit().profile()
    >>> figure = mf.plots.prior_and_posterior(posterior, priors, profile=profile)
    """
    densities = _densities_of(posterior, priors)
    known = [name for name in posterior.names if name in densities]
    names = chosen_names(parameters, known, "a parameter whose prior has a density")
    if not names or (ax is not None and len(names) != 1):
        raise ModelError(f"ax is for one parameter; choose one of {', '.join(known)}.")
    limits = _limits(range, len(names))
    curves = {} if profile is None else {p.long_name: p.name for p in profile.parameters}
    words = {p.long_name: p.words for p in variance_parameters(posterior.design)}
    width, height = (5.0, 3.4) if len(names) == 1 else (3.7, 2.7)
    figure = grid(names, min(columns, len(names)), width=width, height=height) if ax is None else None
    for own, name in zip([new_axes(ax, 5.0, 3.4)] if figure is None else figure.axes, names, strict=True):
        curve = profile.curves.get(curves.get(name, "")) if profile is not None else None
        _panel(own, posterior[name].ravel(), densities[name], curve, limits)
        finish(own, x=words.get(name, name))
    shown = [densities[name].proper for name in names]
    if figure is None:
        ax.legend(handles=_handles(shown, profile is not None), fontsize=sized(9), frameon=False)
        return ax
    legend_above(figure, _handles(shown, profile is not None), columns, 10.0)
    return figure


def _limits(limits: Any, panels: int) -> tuple[float, float] | None:
    """Return the limits of the horizontal axis as numbers, None if they are not given."""
    if limits is None:
        return None
    try:
        low, high = map(float, limits)
    except (TypeError, ValueError):
        low = high = np.nan
    if not low < high:
        raise ModelError(
            f"range is {limits!r}; expected the lower and the upper limit of the axis, such as (0, 9)."
        )
    if panels != 1:
        raise ModelError("range is for one parameter; choose one by parameters='...'.")
    return low, high


def _densities_of(posterior: Posterior, priors: Mapping[str, Any] | None) -> dict[str, PriorDensity]:
    """Return the prior densities of a posterior's parameters, after a check that the priors are its own."""
    with blas_threads(1):
        placement, densities = prior_densities(posterior.design, cross_products(posterior.design), priors)
    told = [*placement.statements, placement.sigma.about("σ")]
    other = [text for text in told if text not in posterior.priors]
    if other and not (other == told[-1:] and posterior.scales is not None):
        raise ModelError(
            f"{other[0]} is not among the priors of this posterior ({'; '.join(posterior.priors)}). Give the mapping "
            "that gibbs was given; leave it out if gibbs had none."
        )
    return densities


def _panel(
    ax: Any, draws: Array, prior: PriorDensity, curve: Curve | None, limits: tuple[float, float] | None
) -> None:
    """Draw the three densities of one parameter.

    The prior and the profile are drawn beyond the limits too, for axes whose limits are set later.
    """
    low, high = np.quantile(draws, [0.001, 0.995]).tolist()
    margin = 0.35 * (high - low)
    positive = bool(draws.min() >= 0.0)
    low, high = (0.0 if positive and low < 3 * margin else low - margin), high + margin
    edges = np.linspace(low, high, 51)
    heights = np.histogram(draws, edges)[0] / (draws.size * (edges[1] - edges[0]))
    ax.stairs(heights, edges, fill=True, color=BLUE, alpha=0.30, lw=0)
    top = float(heights.max())
    if curve is not None and len(curve.points) > 1:
        at = curve.grid(301)
        density = np.nan_to_num(curve.density(at))
        inside = (at >= low) & (at <= high)
        ax.plot(at, density, color=ORANGE, lw=2.2)
        top = max(top, min(float(density[inside].max(initial=0.0)), 2.0 * top))
    low, high = limits or (low, high)
    reach = BEYOND * (high - low)
    places = np.linspace(low - reach, high + reach, 400 * (2 * BEYOND + 1) + 1)
    places = places[places > 0.0] if positive else places  # a prior may be infinite at 0
    height, visible = prior.at(places), (places >= low) & (places <= high)
    if not prior.proper:
        height = height * IMPROPER * top / max(float(np.median(height[visible])), 1e-300)
    ax.plot(places, height, color=GREEN, lw=2.0, ls=(0, (5, 2)))
    reference_line(ax, y=0.0)
    ax.set_xlim(low, high)
    ax.set_ylim(0.0, 1.08 * max(top, min(float(height[visible].max(initial=0.0)), 1.5 * top)))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _handles(proper: Sequence[bool], likelihood: bool) -> list[Any]:
    """Return the entries of the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    note = (
        ""
        if all(proper)
        else " (height of improper ones arbitrary)"
        if any(proper)
        else " (height arbitrary)"
    )
    prior = Line2D([], [], color=GREEN, lw=2.0, ls=(0, (5, 2)), label=f"prior{note}")
    profile = [Line2D([], [], color=ORANGE, lw=2.2, label="likelihood profile")] * likelihood
    return [prior, *profile, Patch(color=BLUE, alpha=0.30, lw=0, label="posterior")]
