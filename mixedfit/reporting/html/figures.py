"""Pictures of the page as SVG, with alternative text."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit import plots
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import number, plain, signed
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.tables import scaled_residuals
from mixedfit.inference.profile.profile import Profile
from mixedfit.plots.style import pyplot, smooth

from .model_words import effect_in_words, variable_of

__all__ = [
    "Picture",
    "drawn",
    "effect_pictures",
    "influence_picture",
    "not_drawn",
    "nothing_to_draw",
    "profile_picture",
    "residual_pictures",
    "slope_pictures",
]

_SIZE = re.compile(rb'<svg[^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in the page.

    Attributes
    ----------
    svg : bytes
    alt : str
        What it shows, in words.
    caption : str
        What to look for.
    wide : bool
        Whether it takes the page's whole width.
    """

    svg: bytes
    alt: str
    caption: str
    wide: bool = False

    def to_html(self) -> str:
        """Return the figure as HTML."""
        data = base64.b64encode(self.svg).decode("ascii")
        shape = ' class="wide"' if self.wide else ""
        width, height = (round(float(v) * 4 / 3) for v in _SIZE.search(self.svg).groups())  # type: ignore[union-attr]
        return (
            f'<figure{shape}><img src="data:image/svg+xml;base64,{data}" width="{width}" height="{height}" '
            f'alt="{html.escape(self.alt)}">'
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )


def drawn(draw: Callable[[Any], Any], width: float, height: float) -> bytes:
    """Return the picture of a function that draws on axes, as SVG."""
    plt = pyplot()
    figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
    try:
        draw(ax)
        return _svg(figure)
    finally:
        plt.close(figure)


def _whole(draw: Callable[[], Any]) -> bytes:
    """Return the figure that a function makes, as SVG."""
    figure = draw()
    try:
        return _svg(figure)
    finally:
        pyplot().close(figure)


def _svg(figure: Any) -> bytes:
    import matplotlib as mpl
    from matplotlib.text import Text

    labels = [label for ax in figure.axes for label in (ax.xaxis.label, ax.yaxis.label, *ax.get_children())]
    for text in (*labels, *figure.get_children()):
        if isinstance(text, Text):
            text.set_text(plain(text.get_text()))
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "mixedfit", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=130, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index(b"<svg") :]  # the doctype names an address, which nothing needs


def residual_pictures(results: Fitted) -> list[Picture]:
    """Return the pictures of residuals, with what to look for."""
    fit = fit_of(results)
    counted = fit.design.counted
    scaled, fitted = np.asarray(scaled_residuals(fit), dtype=np.float64)[counted], fit.fitted[counted]
    normal = Picture(
        drawn(lambda ax: plots.qq_residuals(fit, ax=ax), 5.2, 3.8),
        f"Ordered residuals over σ against normal quantiles; the lowest is {signed(scaled.min())}, the highest "
        f"{signed(scaled.max())}.",
        "Look for points outside the grey band. Points that leave it at both ends mean heavier tails than normal: "
        "estimates of means bear that well, prediction intervals less so.",
    )
    if not_drawn(fit):
        return [normal]
    return [*_against_fitted(fit, scaled, fitted), normal]


def not_drawn(results: Fitted) -> list[str]:
    """Return why residuals are not drawn against fitted values, where these are all equal."""
    fit = fit_of(results)
    fitted = fit.fitted
    if np.ptp(fitted) > 1e-9 * np.abs(fitted).max():
        return []
    return ["All fitted values are equal, so that there are no pictures of residuals against them."]


def _against_fitted(fit: Fit, scaled: Array, fitted: Array) -> list[Picture]:
    """Return residuals, and their size, against fitted values."""
    trend, size = smooth(fitted, scaled)[1], smooth(fitted, np.sqrt(np.abs(scaled)))[1]
    rows = f"{scaled.size:,}"
    where = f"against fitted values from {number(fitted.min())} to {number(fitted.max())}"
    return [
        Picture(
            drawn(lambda ax: plots.residuals_fitted(fit, ax=ax), 5.2, 3.8),
            f"{rows} residuals over σ {where}; their trend runs between {number(trend.min(), 2)} and "
            f"{number(trend.max(), 2)}.",
            "Look for a curve: the orange trend should stay near 0. A curve says that the fixed part misses one, or an "
            "interaction.",
        ),
        Picture(
            drawn(lambda ax: plots.scale_location(fit, ax=ax), 5.2, 3.8),
            f"Root of absolute residuals of {rows} rows {where}; their trend runs between {size.min():.2f} and "
            f"{size.max():.2f}, where 0.82 is usual.",
            "Look for a slope: the trend should be level. If it rises, larger responses vary more: a logarithm or "
            "weights may help.",
        ),
    ]


def _drawn_effects(fit: Fit) -> list[tuple[int, int]]:
    """Return the effects that are drawn, as places of factor and effect: the first two of each factor that vary."""
    return [
        (at, j)
        for at, block in enumerate(fit.design.blocks)
        for j in range(min(block.k, 2))
        if np.ptp(fit.modes[at][:, j]) > 0
    ]


def nothing_to_draw(results: Fitted) -> list[str]:
    """Return which random effects have no pictures, since their variance is 0."""
    fit = fit_of(results)
    return [
        f"The random {effect_in_words(fit, at, effect)} of {block.name} is predicted as 0 at every level, since "
        "its variance is estimated as 0: there is nothing to draw."
        for at, (block, omega) in enumerate(zip(fit.design.blocks, fit.omega, strict=True))
        for effect, variance in zip(block.effects, np.diag(omega), strict=True)
        if variance == 0
    ]


def effect_pictures(results: Fitted) -> list[Picture]:
    """Return the pictures of random effects: per factor a caterpillar of each effect, and a Q–Q plot."""
    fit = fit_of(results)
    out = []
    for at, j in _drawn_effects(fit):
        out.append(_caterpillar(fit, at, j))
        if fit.design.blocks[at].levels >= 8:
            out.append(_qq_picture(fit, at, j))
    return out


MOST_NAMED = 60
"""Levels that a caterpillar names, each on a line of its own."""


def _caterpillar(fit: Fit, at: int, j: int) -> Picture:
    block, values = fit.design.blocks[at], fit.modes[at][:, j]
    effect = effect_in_words(fit, at, block.effects[j])
    low, high = block.grouping.levels[[int(values.argmin()), int(values.argmax())]]
    height = max(2.6, 0.19 * block.levels + 1.0) if block.levels <= MOST_NAMED else 6.0
    clear = np.abs(values) > 1.96 * np.sqrt(np.maximum(fit.mode_covariance[at][:, j, j], 0.0))
    colours = "Blue intervals do not include 0." if clear.any() else "Every interval includes 0."
    return Picture(
        drawn(lambda ax: plots.caterpillar(fit, block.name, block.effects[j], ax=ax), 5.2, height),
        f"Predicted random {effect} of {block.levels:,} levels of {block.name} with 95% intervals, from "
        f"{number(values.min(), 3)} ({low}) to {number(values.max(), 3)} ({high}).",
        f"How levels of {block.name} differ in their {effect}. {colours} Predictions are drawn towards the mean, "
        "most where a level has few rows.",
    )


def _qq_picture(fit: Fit, at: int, j: int) -> Picture:
    block = fit.design.blocks[at]
    effect = effect_in_words(fit, at, block.effects[j])
    return Picture(
        drawn(lambda ax: plots.qq_random_effect(fit, block.name, block.effects[j], ax=ax), 5.2, 3.6),
        f"Ordered predictions of the random {effect} of the levels of {block.name} against normal quantiles.",
        f"Is the random {effect} normal across levels of {block.name}? A single level far from the line deserves a "
        "look.",
    )


def slope_pictures(results: Fitted) -> list[Picture]:
    """Return pictures of random slopes: lines, shrinkage, and what slopes imply within a group."""
    fit = fit_of(results)
    blocks = fit.design.blocks
    at = next((i for i, b in enumerate(blocks) if b.k > 1 and np.ptp(b.z, axis=0).any()), None)
    if at is None:
        return []
    block = blocks[at]
    slope = next(name for j, name in enumerate(block.effects) if np.ptp(block.z[:, j]) > 0)
    along = variable_of(fit, at, slope)
    lines = Picture(
        _whole(lambda: plots.fitted_lines(fit, slope, block.name, groups=16, columns=4)),
        f"Data and fitted lines of {min(16, block.levels)} of {block.levels:,} levels of {block.name} along {along}.",
        f"Points are data, blue lines what the model says of a level of {block.name}, dashed lines the population. "
        "Lines should go through their points.",
        wide=True,
    )
    shrinkage = Picture(
        drawn(lambda ax: plots.shrinkage(fit, block.name, ax=ax), 5.2, 5.0),
        f"Coefficients of each level of {block.name} by least squares alone, and in the model, nearer to the mean.",
        "Each arrow leads from what the data of a level say alone to what the model says, which borrows from the "
        "other levels. Uncertain levels move most.",
    )
    return [lines, shrinkage, *_implied_pictures(fit, block.name, slope, along)]


def _implied_pictures(fit: Fit, group: str, slope: str, along: str) -> list[Picture]:
    """Return what different slopes imply for the rows of a group; nothing where that cannot be drawn."""
    try:
        implied = plots.implied_covariance(fit, group, slope)
    except ModelError:
        return []
    off = implied.correlation
    return [
        Picture(
            drawn(lambda ax: plots.within_group_variance(fit, group, slope, ax=ax), 5.2, 4.2),
            f"Variance of a row along {along}, from {number(implied.variance.min())} to "
            f"{number(implied.variance.max())}.",
            f"What different slopes imply: how much rows vary along {along}, and how much of that lies between levels "
            f"of {group}.",
        ),
        Picture(
            drawn(lambda ax: plots.within_group_correlation(fit, group, slope, ax=ax), 5.2, 4.2),
            f"Correlation of two rows of one level along {along}, from {number(off.min(), 2)} to "
            f"{number(off.max(), 2)}.",
            f"How strongly two rows of one level of {group} agree, by where along {along} they stand.",
        ),
    ]


MOST_ROWS = 20_000
"""Rows beyond which influence is left out of the page, for the time that it takes."""


def influence_picture(results: Fitted) -> Picture | None:
    """Return how much each level of the largest grouping factor with at most 1,000 levels moves the fixed effects."""
    fit = fit_of(results)
    blocks = [block for block in fit.design.blocks if 3 < block.levels <= 1000]
    if not blocks or fit.nobs > MOST_ROWS:
        return None
    name = blocks[0].name
    found = Diagnostics(fit).influence(name)
    known = found.table["cooks_distance"].dropna()
    if known.empty:
        return None
    top = ", ".join(f"{label} ({value:.2g})" for label, value in known.nlargest(3).items())
    return Picture(
        drawn(lambda ax: plots.influence(found, ax=ax), 5.2, 3.4),
        f"Cook's distance of each level of {name}; the largest are those of {top}.",
        f"How far the fixed effects move when a level of {name} is left out, in units of their uncertainty. Values "
        "near 1 are large; a level far above the others deserves a look.",
    )


def profile_picture(profile: Profile) -> Picture | None:
    """Return the densities that the profiles imply."""
    names = list(profile.curves)[:12]
    if not names:
        return None
    return Picture(
        _whole(lambda: plots.profile_density(profile, names, columns=2)),
        f"Densities implied by the likelihood profiles of {', '.join(names)}; the intervals in the tables are shaded.",
        "How sure the data are of each parameter. A skew shape means that the interval is longer on one side, which an "
        "estimate plus and minus twice its error does not show.",
        wide=True,
    )
