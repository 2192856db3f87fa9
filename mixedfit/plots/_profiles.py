"""Likelihood profiles: ζ, implied densities, and traces and contours of pairs of parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import chdtri, ndtri

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.inference.profile.curve import Curve
from mixedfit.inference.profile.profile import Profile

from .style import (
    BLUE,
    ORANGE,
    PARAMETER_AXES,
    faint,
    finish,
    grey,
    grid,
    ink,
    paper,
    reference_line,
    sized,
    whole_figure,
)

__all__ = ["contour", "profile_density", "profile_pairs", "profile_zeta"]

LEVELS = (0.5, 0.8, 0.95, 0.99)
"""Coverages of the intervals in a picture of ζ, by default."""

PAIR_LEVELS = (0.5, 0.8, 0.95)
"""Coverages of the regions in pictures of pairs, by default."""


def _shown(profile: Profile, parameters: Sequence[str] | None) -> list[str]:
    """Return the names of the profiles to draw, as lme4 writes them."""
    if parameters is None:
        return list(profile.curves)
    wanted = [parameters] if isinstance(parameters, str) else parameters
    known = {text: p.name for p in profile.parameters for text in (p.name, p.long_name, p.words)}
    names = [known.get(name, name) for name in wanted]
    for name in names:
        if name not in profile.curves:
            raise ModelError(f"{name!r} has no profile (there are {', '.join(profile.curves)}).")
    return names


def _words(profile: Profile) -> dict[str, str]:
    """Return the label of each parameter."""
    return {p.name: p.name if p.kind == "fixed" else textwrap.fill(p.words, 30) for p in profile.parameters}


@whole_figure(PARAMETER_AXES)
def profile_zeta(
    profile: Profile,
    parameters: Sequence[str] | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    columns: int = 3,
) -> Any:
    """Draw ζ of each parameter, and return the figure; it takes no ``ax=``.

    A straight line means that the log-likelihood is quadratic, so that Wald intervals are adequate. Vertical lines lead
    from ±z of each level to the limits of the interval. Each parameter has an axes, labelled with lme4's name.

    Parameters
    ----------
    profile : Profile
        From `MixedResults.profile`.
    parameters : sequence of str, optional
        All by default.
    levels : sequence of float
        Coverages of the intervals drawn.
    columns : int
        Panels in a row.

    Raises
    ------
    ModelError
        If a parameter has no profile, or matplotlib is not installed.
    """
    names, words = _shown(profile, parameters), _words(profile)
    figure = grid(names, min(columns, len(names)), width=3.3, height=2.7)
    for ax, name in zip(figure.axes, names, strict=True):
        curve = profile.curves[name]
        at = curve.grid(201)
        ax.plot(at, curve.zeta(at), color=BLUE, lw=1.8)
        reference_line(ax, y=0.0)
        for level in levels:
            z = float(ndtri(0.5 + 0.5 * level))
            low, high = curve.limits(z)
            for limit in (low, high):
                if np.isfinite(limit):
                    height = float(np.clip(curve.zeta(np.array([limit]))[0], -z, z))
                    ax.vlines(limit, 0.0, height, color=grey(), lw=0.8)
            if np.isfinite(high):
                ax.annotate(f"{100 * level:g}%", (high, z), xytext=(-3, 1), textcoords="offset points", ha="right",
                            fontsize=sized(7.5), color=grey())  # fmt: skip
        finish(ax, x=words[name])
        ax.set_ylabel("ζ", rotation=0, labelpad=2)
    return figure


@whole_figure(PARAMETER_AXES)
def profile_density(
    profile: Profile, parameters: Sequence[str] | None = None, *, level: float = 0.95, columns: int = 3
) -> Any:
    """Draw the density that each profile implies, φ(ζ) dζ/dψ, and return the figure; it takes no ``ax=``.

    The shaded part is the interval of coverage `level`. Each parameter has an axes, labelled with lme4's name.

    Parameters
    ----------
    profile : Profile
    parameters : sequence of str, optional
        All by default.
    level : float
        Coverage of the shaded interval.
    columns : int
        Panels in a row.

    Raises
    ------
    ModelError
        If a parameter has no profile, or matplotlib is not installed.
    """
    names, words = _shown(profile, parameters), _words(profile)
    figure = grid(names, min(columns, len(names)), width=3.0, height=2.2)
    z = float(ndtri(0.5 + 0.5 * level))
    for ax, name in zip(figure.axes, names, strict=True):
        curve = profile.curves[name]
        at = curve.grid(301)
        height = curve.density(at)
        low, high = curve.limits(z)
        inside = (at >= (low if np.isfinite(low) else -np.inf)) & (
            at <= (high if np.isfinite(high) else np.inf)
        )
        ax.fill_between(at, 0.0, height, where=inside, color=BLUE, alpha=0.25, lw=0)
        ax.plot(at, height, color=BLUE, lw=1.6)
        estimate = float(profile.estimates[name])
        ax.vlines(
            estimate, 0.0, float(np.nan_to_num(curve.density(np.array([estimate]))[0])), color=ink(), lw=1.0
        )
        ax.set_ylim(bottom=0.0)
        ax.set_yticks([])
        finish(ax, x=words[name], y="density" if ax is figure.axes[0] else "")
        ax.spines["left"].set_visible(False)
    return figure


@whole_figure(PARAMETER_AXES)
def profile_pairs(
    profile: Profile, parameters: Sequence[str] | None = None, *, levels: Sequence[float] = PAIR_LEVELS
) -> Any:
    """Draw profiles of each pair of parameters, and return the figure; it takes no ``ax=``.

    Panels below the diagonal are in the parameters' own units, those above it in units of ζ. They show traces, along
    which the other parameter is at its conditional optimum, and contours of joint regions of coverage `levels`,
    interpolated as in Bates & Watts (1988), appendix 6. Straight traces at right angles mean that two estimates are
    independent. Contours are open where a profile ends, as at a standard deviation of 0. Panels on the diagonal show ζ.
    Axes are labelled "row|column" with lme4's names.

    Parameters
    ----------
    profile : Profile
    parameters : sequence of str, optional
        All by default; at least two.
    levels : sequence of float
        Coverages of the joint regions.

    Raises
    ------
    ModelError
        If a parameter has no profile, there are fewer than two, or matplotlib is not installed.
    """
    names, words = _shown(profile, parameters), _words(profile)
    if len(names) < 2:
        raise ModelError("pairs need at least two parameters that have profiles.")
    m = len(names)
    size = float(np.clip(9.0 / m, 1.6, 2.6))
    labels = [f"{row}|{column}" for row in names for column in names]
    figure = grid(labels, m, width=size, height=size)
    for place, ax in enumerate(figure.axes):
        row, column = names[place // m], names[place % m]
        if row == column:
            _diagonal(ax, profile.curves[row], words[row])
        else:
            _pair(ax, profile, column, row, levels, in_zeta=place % m > place // m)
        _outer_labels(ax, place, m, words[row], words[column])
    return figure


def _outer_labels(ax: Any, place: int, m: int, row: str, column: str) -> None:
    ax.tick_params(labelsize=sized(7), color=grey())
    for side in ax.spines.values():
        side.set_color(faint())
    if place % m == 0 and place > 0:
        ax.set_ylabel(_broken(row), fontsize=sized(8))
    if place // m == m - 1:
        ax.set_xlabel(_broken(column), fontsize=sized(8))


def _broken(words: str) -> str:
    return (
        words.replace("\n", " ")
        .replace(" of ", "\nof ", 1)
        .replace(" and ", "\nand ", 1)
        .replace(" | ", "\n| ")
    )


def _diagonal(ax: Any, curve: Curve, words: str) -> None:
    at = curve.grid(101)
    ax.plot(at, curve.zeta(at), color=BLUE, lw=1.5)
    reference_line(ax, y=0.0)
    box = {"facecolor": paper(), "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
    ax.text(0.04, 0.96, _broken(words), transform=ax.transAxes, va="top", fontsize=sized(7), bbox=box)


def _pair(
    ax: Any, profile: Profile, column: str, row: str, levels: Sequence[float], *, in_zeta: bool
) -> None:
    """Draw traces and contours of one pair, with the parameter of the column on the horizontal axis."""
    first, second = profile.curves[column], profile.curves[row]
    along, across = trace(profile, column, row), trace(profile, row, column)

    def place(x: Array, y: Array) -> tuple[Array, Array]:
        return (x, y) if in_zeta else (_values(first, x), _values(second, y))

    ax.plot(*place(*along), color=grey(), lw=0.9)
    ax.plot(*place(*across[::-1]), color=grey(), lw=0.9, ls="--")
    for level in levels:
        radius = float(np.sqrt(chdtri(2.0, 1.0 - level)))
        outline = contour(along, across, radius)
        if outline is not None:
            ax.plot(*place(*outline), color=BLUE, lw=1.2)
    ax.plot(*place(np.zeros(1), np.zeros(1)), marker="+", color=ORANGE, ms=8, mew=1.6)


def _values(curve: Curve, zetas: Array) -> Array:
    """Return the values of the parameter at values of ζ, NaN outside the profile."""
    return curve._inverse(np.asarray(zetas, dtype=float))


def trace(profile: Profile, held: str, other: str) -> tuple[Array, Array]:
    """Return ζ of a parameter along its profile, and ζ of another parameter at its conditional optimum there."""
    rows = profile.table[profile.table["parameter"] == held]
    x = rows["zeta"].to_numpy(dtype=float)
    curve = profile.curves[other]
    low, high = curve.points[0].value, curve.points[-1].value
    y = curve.zeta(np.clip(rows[other].to_numpy(dtype=float), low, high))
    known = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[known], kind="stable")
    x, y = x[known][order], y[known][order]
    distinct = np.concatenate([[True], np.diff(x) > 1e-9])
    return x[distinct], y[distinct]


def contour(
    along: tuple[Array, Array], across: tuple[Array, Array], radius: float, points: int = 121
) -> tuple[Array, Array] | None:
    """Return the contour on which the deviance has risen by radius², in ζ of both; None if it cannot be interpolated.

    Bates & Watts (1988), appendix 6: the traces give four points of the contour with their tangents; between them the
    difference in phase of the two coordinates is a periodic cubic spline. If a profile ends before (a standard
    deviation reaches 0), its trace is continued in a straight line to give the point, and the contour is NaN beyond the
    end.

    Parameters
    ----------
    along, across : (ndarray, ndarray)
        ζ held and ζ of the other parameter, for the first and the second parameter.
    radius : float
    """
    from scipy.interpolate import CubicSpline  # imported late: it takes longer than most fits

    angles, phases, whole = [], [], True
    for (held, other), turned in ((along, False), (across, True)):
        if held.size < 2:
            return None
        for side in (-radius, radius):
            whole &= bool(held[0] - 1e-6 <= side <= held[-1] + 1e-6)
            cosine = float(np.clip(_continued(held, other, side) / radius, -1.0, 1.0))
            own, its = (0.0 if side > 0 else np.pi), float(np.arccos(cosine))
            first, second = (its, own) if turned else (own, its)
            angle, phase = 0.5 * (first + second), first - second
            angles.append(angle if phase > 0 else -angle)
            phases.append(abs(phase))
    order = np.argsort(angles)
    a, d = np.array(angles)[order], np.array(phases)[order]
    if np.any(np.diff(a) < 1e-9):
        return None
    spline = CubicSpline(np.append(a, a[0] + 2.0 * np.pi), np.append(d, d[0]), bc_type="periodic")
    turn = np.linspace(a[0], a[0] + 2.0 * np.pi, points if whole else 16 * points)
    x, y = radius * np.cos(turn + 0.5 * spline(turn)), radius * np.cos(turn - 0.5 * spline(turn))
    return (x, y) if whole else _within(x, y, along[0], across[0])


def _continued(held: Array, other: Array, at: float) -> float:
    """Return a trace at a place, by linear interpolation, and by linear extrapolation beyond its ends."""
    for end, before in ((0, 1), (-1, -2)):
        beyond = at < held[0] if end == 0 else at > held[-1]
        if beyond:
            slope = (other[end] - other[before]) / (held[end] - held[before])
            return float(other[end] + slope * (at - held[end]))
    return float(np.interp(at, held, other))


def _within(x: Array, y: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Return a contour with NaN where a parameter is beyond its profile, starting at such a point."""
    known = (x >= first[0]) & (x <= first[-1]) & (y >= second[0]) & (y <= second[-1])
    start = int(np.flatnonzero(~known)[0]) if not known.all() else 0
    x, y = (np.roll(np.where(known, v, np.nan), -start) for v in (x, y))
    return x, y
