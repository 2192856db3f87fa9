"""Plots of the page as SVG, with alternative text."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit import plots
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import number, signed
from mixedfit.core.names import plain_name
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import group_label, level_label, level_text
from mixedfit.estimation.tables import scaled_residuals
from mixedfit.inference.profile.profile import Profile
from mixedfit.plots.style import pyplot, smooth

from .model_words import effect_in_words, variable_of

__all__ = [
    "MOST_EFFECTS",
    "MOST_NAMED",
    "Picture",
    "axes_svg",
    "effect_pictures",
    "figure_svg",
    "influence_pictures",
    "no_fitted_plots",
    "profile_picture",
    "residual_pictures",
    "slope_pictures",
    "zero_effects",
]

_SIZE = re.compile(rb'<svg[^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot in the page.

    Attributes
    ----------
    svg : bytes
    alt : str
        Description for screen readers.
    caption : str
        What to look for.
    wide : bool
        Whether it takes the whole width of the page.
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


def axes_svg(draw: Callable[[Any], Any], width: float, height: float) -> bytes:
    """Return the plot of a function of axes as SVG; width and height are in inches."""
    plt = pyplot()
    figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
    try:
        draw(ax)
        return _to_svg(figure)
    finally:
        plt.close(figure)


def figure_svg(draw: Callable[[], Any]) -> bytes:
    """Return the figure of a function without arguments as SVG."""
    figure = draw()
    try:
        return _to_svg(figure)
    finally:
        pyplot().close(figure)


def _to_svg(figure: Any) -> bytes:
    import matplotlib as mpl
    from matplotlib.text import Text

    labels = [label for ax in figure.axes for label in (ax.xaxis.label, ax.yaxis.label, *ax.get_children())]
    for text in (*labels, *figure.get_children()):
        if isinstance(text, Text):
            text.set_text(plain_name(text.get_text()))
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "mixedfit", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=130, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index(b"<svg") :]  # without the doctype, which names an external address


def residual_pictures(results: Fitted) -> list[Picture]:
    """Return the plots of residuals."""
    fit = fit_of(results)
    counted = fit.design.counted
    scaled, fitted = np.asarray(scaled_residuals(fit), dtype=np.float64)[counted], fit.fitted[counted]
    normal = Picture(
        axes_svg(lambda ax: plots.qq_residuals(fit, ax=ax), 5.2, 3.8),
        f"Ordered residuals over σ against normal quantiles; the lowest is {signed(scaled.min())}, the highest "
        f"{signed(scaled.max())}.",
        "Look for points outside the grey band. Points that leave it at both ends mean heavier tails than normal: this "
        "hardly affects estimates of means, but it affects prediction intervals.",
    )
    if no_fitted_plots(fit):
        return [normal]
    return [*_against_fitted(fit, scaled, fitted), normal]


def no_fitted_plots(results: Fitted) -> list[str]:
    """Return a sentence on why there are no plots against fitted values, if these are all equal."""
    fit = fit_of(results)
    fitted = fit.fitted
    if np.ptp(fitted) > 1e-9 * np.abs(fitted).max():
        return []
    return ["All fitted values are equal, so that there are no plots of residuals against them."]


def _against_fitted(fit: Fit, scaled: Array, fitted: Array) -> list[Picture]:
    """Return the plots of residuals, and of their size, against fitted values."""
    trend, size = smooth(fitted, scaled)[1], smooth(fitted, np.sqrt(np.abs(scaled)))[1]
    rows = f"{scaled.size:,}"
    where = f"against fitted values from {number(fitted.min())} to {number(fitted.max())}"
    return [
        Picture(
            axes_svg(lambda ax: plots.residuals_fitted(fit, ax=ax), 5.2, 3.8),
            f"{rows} residuals over σ {where}; their trend runs between {number(trend.min(), 2)} and "
            f"{number(trend.max(), 2)}.",
            "Look for a curve: the orange trend should stay near 0. A curve shows that the fixed part lacks one, or "
            "an interaction.",
        ),
        Picture(
            axes_svg(lambda ax: plots.scale_location(fit, ax=ax), 5.2, 3.8),
            f"Root of absolute residuals of {rows} rows {where}; their trend runs between {size.min():.2f} and "
            f"{size.max():.2f}; 0.82 is expected of normal residuals.",
            "Look for a slope: the trend should be horizontal. If it rises, larger responses vary more: a logarithm or "
            "weights may help.",
        ),
    ]


MOST_EFFECTS = 12
"""Largest number of random effects that are drawn."""


def _effects_to_draw(fit: Fit) -> list[tuple[int, int]]:
    """Return positions (factor, effect) of the effects to draw: the first `MOST_EFFECTS` that vary."""
    return [
        (at, j)
        for at, block in enumerate(fit.design.blocks)
        for j in range(block.k)
        if np.ptp(fit.modes[at][:, j]) > 0
    ][:MOST_EFFECTS]


def zero_effects(results: Fitted, labels: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each random effect that is not drawn because its variance is 0."""
    fit = fit_of(results)
    own = [
        (group_label(block.name, labels), effect_in_words(fit, at, effect, labels), variance)
        for at, (block, omega) in enumerate(zip(fit.design.blocks, fit.omega, strict=True))
        for effect, variance in zip(block.effects, np.diag(omega), strict=True)
    ]
    return [
        f"The random {effect} of {group} is predicted as 0 at every level, since its variance is estimated as 0: there "
        "is nothing to draw."
        for group, effect, variance in own
        if variance == 0
    ]


def effect_pictures(results: Fitted, labels: Mapping[str, str] | None = None) -> list[Picture]:
    """Return the plots of random effects: a caterpillar plot and a Q–Q plot of each."""
    fit = fit_of(results)
    out = []
    for at, j in _effects_to_draw(fit):
        out.append(_caterpillar(fit, at, j, labels))
        if fit.design.blocks[at].levels >= 8:
            out.append(_qq_picture(fit, at, j, labels))
    return out


MOST_NAMED = 60
"""Largest number of levels that a caterpillar plot names, each on its own line."""


def _caterpillar(fit: Fit, at: int, j: int, labels: Mapping[str, str] | None) -> Picture:
    block, values = fit.design.blocks[at], fit.modes[at][:, j]
    effect = effect_in_words(fit, at, block.effects[j], labels)
    group = group_label(block.name, labels)
    ends = block.grouping.levels[[int(values.argmin()), int(values.argmax())]]
    low, high = (level_label(level, labels) for level in ends)
    height = max(2.6, 0.19 * block.levels + 1.0) if block.levels <= MOST_NAMED else 6.0
    clear = np.abs(values) > 1.96 * np.sqrt(np.maximum(fit.mode_covariance[at][:, j, j], 0.0))
    colours = "Blue intervals do not include 0." if clear.any() else "Every interval includes 0."
    return Picture(
        axes_svg(
            lambda ax: plots.caterpillar(fit, block.name, block.effects[j], ax=ax, labels=labels), 5.2, height
        ),
        f"Predicted random {effect} of {block.levels:,} levels of {group} with 95% intervals, from "
        f"{number(values.min(), 3)} ({low}) to {number(values.max(), 3)} ({high}).",
        f"How levels of {group} differ in their {effect}. {colours} Predictions are shrunk towards "
        f"{'the mean' if block.known is None else 'those of relatives'}, most for levels with few rows.",
    )


def _qq_picture(fit: Fit, at: int, j: int, labels: Mapping[str, str] | None) -> Picture:
    block = fit.design.blocks[at]
    effect = effect_in_words(fit, at, block.effects[j], labels)
    group = group_label(block.name, labels)
    return Picture(
        axes_svg(
            lambda ax: plots.qq_random_effect(fit, block.name, block.effects[j], ax=ax, labels=labels),
            5.2,
            3.6,
        ),
        f"Ordered predictions of the random {effect} of the levels of {group} against normal quantiles.",
        f"Is the random {effect} normal across levels of {group}? Check a single level far from the line.",
    )


def slope_pictures(results: Fitted, labels: Mapping[str, str] | None = None) -> list[Picture]:
    """Return the plots of random slopes: fitted lines, shrinkage, and the implied variances and correlations."""
    fit = fit_of(results)
    blocks = fit.design.blocks
    at = next((i for i, b in enumerate(blocks) if b.k > 1 and np.ptp(b.z, axis=0).any()), None)
    if at is None:
        return []
    block = blocks[at]
    slope = next(name for j, name in enumerate(block.effects) if np.ptp(block.z[:, j]) > 0)
    along, group = variable_of(fit, at, slope, labels), group_label(block.name, labels)
    lines = Picture(
        figure_svg(lambda: plots.fitted_lines(fit, slope, block.name, groups=16, columns=4, labels=labels)),
        f"Data and fitted lines of {min(16, block.levels)} of {block.levels:,} levels of {group} along {along}.",
        f"Points are data, blue lines the fitted lines of the levels of {group}, dashed lines that of the "
        "population. Lines should go through their points.",
        wide=True,
    )
    shrinkage = Picture(
        axes_svg(lambda ax: plots.shrinkage(fit, block.name, ax=ax, labels=labels), 5.2, 5.0),
        f"Coefficients of each level of {group} by least squares on its own rows, and in the model, nearer to the "
        "mean.",
        "Each arrow leads from the least-squares estimate of a level's own rows to its estimate in the model, which "
        "also uses the other levels. Levels with uncertain estimates move most.",
    )
    return [lines, shrinkage, *_implied_pictures(fit, block.name, slope, along, labels)]


def _implied_pictures(
    fit: Fit, group: str, slope: str, along: str, labels: Mapping[str, str] | None
) -> list[Picture]:
    """Return the plots of implied variances and correlations, or none if they cannot be computed."""
    try:
        implied = plots.implied_covariance(fit, group, slope)
    except ModelError:
        return []
    off, name = implied.correlation, group_label(group, labels)
    return [
        Picture(
            axes_svg(
                lambda ax: plots.within_group_variance(fit, group, slope, labels=labels, ax=ax), 5.2, 4.2
            ),
            f"Variance of a row along {along}, from {number(implied.variance.min())} to "
            f"{number(implied.variance.max())}.",
            f"The variance of a row along {along} that random slopes imply, and its part between levels of {name}.",
        ),
        Picture(
            axes_svg(
                lambda ax: plots.within_group_correlation(fit, group, slope, labels=labels, ax=ax), 5.2, 4.2
            ),
            f"Correlation of two rows of one level along {along}, from {number(off.min(), 2)} to "
            f"{number(off.max(), 2)}.",
            f"The correlation of two rows of the same level of {name}, by their values of {along}.",
        ),
    ]


MOST_ROWS = 20_000
"""Largest number of rows for which influence is computed, to limit the time."""


def influence_pictures(results: Fitted, labels: Mapping[str, str] | None = None) -> list[Picture]:
    """Return the plots of Cook's distances for the levels of each factor with 4 to 1,000 levels."""
    fit = fit_of(results)
    if fit.nobs > MOST_ROWS:
        return []
    names = [block.name for block in fit.design.blocks if 3 < block.levels <= 1000]
    return [
        picture for name in dict.fromkeys(names) if (picture := _influence(fit, name, labels)) is not None
    ]


def _influence(fit: Fit, name: str, labels: Mapping[str, str] | None) -> Picture | None:
    found = Diagnostics(fit).influence(name)
    known = found.table["cooks_distance"].dropna()
    if known.empty:
        return None
    top = ", ".join(f"{level_label(own, labels)} ({value:.2g})" for own, value in known.nlargest(3).items())
    words = group_label(name, labels)
    known_names = {name, *map(level_text, found.table.index)}
    own = {key: text for key, text in (labels or {}).items() if key in known_names}
    return Picture(
        axes_svg(lambda ax: plots.influence(found, ax=ax, labels=own), 5.2, 3.4),
        f"Cook's distance of each level of {words}; the largest are those of {top}.",
        f"How far the fixed effects move when a level of {words} is left out, relative to their uncertainty. Values "
        "near 1 are large; check a level far above the others.",
    )


def profile_picture(profile: Profile) -> Picture | None:
    """Return the plot of the densities that the profiles imply."""
    names = list(profile.curves)[:12]
    if not names:
        return None
    return Picture(
        figure_svg(lambda: plots.profile_density(profile, names, columns=2)),
        f"Densities implied by the likelihood profiles of {', '.join(names)}; the intervals in the tables are shaded.",
        "A narrow density means a precise estimate. If a density is skewed, the profile interval is longer on one side "
        "of the estimate, and a Wald interval is not accurate.",
        wide=True,
    )
