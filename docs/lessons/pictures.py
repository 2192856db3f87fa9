"""Make the pictures of the lessons: ``python docs/lessons/pictures.py [names]`` (needs the extra "plot").

That of lesson 002 is made if ../shared/data/pdensity.csv lies beside the project; the data are not part of it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import mixedfit as mf
from mixedfit import plots
from mixedfit.plots import style

DOCS = Path(__file__).resolve().parents[1]
GRASS = DOCS.parents[1] / "shared" / "data" / "pdensity.csv"
pr = mf.priors


def lesson_delta() -> Any:
    """The posterior of the genotypes' difference beside what three frequentist answers say of it."""
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    fit, cauchy = model.fit(), pr.HalfCauchy(1)
    drawn = model.gibbs({"fixed": pr.Flat(), "Tray": cauchy, "sigma": cauchy}, draws=20_000, seed=1)
    centre, error = fit.params["GenotypeB"], fit.bse["GenotypeB"]
    x = np.linspace(-13, 6, 400)
    ax = style.new_axes(None, 7.5, 4.0)
    edges = np.linspace(-13, 6, 96)
    counts, _ = np.histogram(drawn["GenotypeB"], edges)
    heights = counts / (drawn["GenotypeB"].size * np.diff(edges))
    colours = np.where(edges[:-1] >= 0, style.SKY, style.FAINT)
    ax.bar(edges[:-1], heights, np.diff(edges), align="edge", color=colours, lw=0)
    curves = {
        "normal, ± SE": (stats.norm.pdf(x, centre, error), style.ORANGE, "-"),
        "t, 6 degrees of freedom": (stats.t.pdf(x, 6, centre, error), style.BLUE, "--"),
    }
    for label, (y, colour, line) in curves.items():
        ax.plot(x, y, color=colour, ls=line, lw=1.8, label=label)
    share = drawn.probability("GenotypeB > 0").value
    ax.annotate(f"P(δ > 0 | y) = {share:.3f}", (1.0, 0.03), xytext=(1.8, 0.075), fontsize=9.5, color=style.INK,
                arrowprops={"arrowstyle": "-", "color": style.GREY})  # fmt: skip
    ax.bar(0, 0, color=style.FAINT, label="posterior")
    ax.legend(frameon=False, fontsize=9.5, loc="upper left")
    style.finish(ax, x="δ: genotype B less genotype A", y="density")
    return ax


def lesson_coverage() -> Any:
    """Coverage of four intervals of the genotypes' difference in a thousand experiments like this one."""
    formula, data = "SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight")
    found = mf.coverage(
        formula,
        data,
        mf.lmm(formula, data).fit(),
        methods=["wald", "profile", "kenward-roger", "credible"],
        parameters="GenotypeB",
        n=1000,
        seed=1,
        progress=False,
    )
    ax = found.plot(ax=style.new_axes(None, 7.0, 2.6))
    ax.set_xlabel("coverage of 95% intervals")
    return ax


def lesson_parabolas() -> Any:
    """Ten blocks' parabolas, each alone, and in one model."""
    grass = pd.read_csv(GRASS)
    model = mf.lmm("yield ~ density + I(density^2) + (density + I(density^2) | plot)", grass)
    together = model.gibbs(pr.empirical(model), draws=5000, seed=1).group_coefs["plot"].mean.to_numpy()
    alone = plots.group_fits(model.fit(), 0).alone.to_numpy()
    x = np.linspace(1.6, 8.4, 100)
    powers = np.vstack([np.ones_like(x), x, x**2])
    figure, axes = style.pyplot().subplots(1, 2, figsize=(10.0, 4.0), sharey=True, layout="constrained")
    for ax, curves, title in zip(axes, (alone, together), ("each block alone", "together"), strict=True):
        for curve in curves @ powers:
            ax.plot(x, curve, color=style.BLUE, lw=1.0, alpha=0.7)
            top = np.argmax(curve)
            ax.plot(x[top], curve[top], "o", ms=4, color=style.BLUE)
        ax.plot(x, curves.mean(axis=0) @ powers, color=style.INK, lw=2.2)
        style.finish(ax, x="plants per square metre", y="yield" if ax is axes[0] else "")
        ax.set_title(title, fontsize=10, loc="left")
    return figure


def lesson_eight_schools() -> Any:
    """Effects of coaching given τ, above the posterior of τ."""
    y, se = np.array([28, 8, -3, 7, -1, 1, 18, 12.0]), np.array([15, 10, 16, 11, 9, 11, 10, 18.0])
    tau = np.linspace(0, 30, 301)
    weight = 1 / (se**2 + tau[:, None] ** 2)
    mu = (weight * y).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    keep = tau[:, None] ** 2 * weight
    effects = keep * y + (1 - keep) * mu
    likelihood = np.exp(-(weight * (y - mu) ** 2).sum(axis=1) / 2) * np.sqrt(
        weight.prod(axis=1) / weight.sum(axis=1)
    )
    plt = style.pyplot()
    heights = {"height_ratios": (2.4, 1)}
    figure, axes = plt.subplots(
        2, 1, figsize=(7.5, 6.0), sharex=True, layout="constrained", gridspec_kw=heights
    )
    axes[0].plot(tau, effects, color=style.BLUE, lw=1.4)
    places = _apart(effects[-1], 1.5)
    for letter, place, alone in zip("ABCDEFGH", places, y, strict=True):
        axes[0].text(
            30.4,
            place,
            f"{letter}  ({alone:.0f} alone)".replace("-", "−"),
            fontsize=9,
            va="center",
            color=style.INK,
        )
    axes[1].fill_between(tau, likelihood / likelihood.max(), color=style.FAINT, lw=0)
    axes[1].plot(0, 1, "o", color=style.ORANGE, clip_on=False, zorder=3)
    axes[1].annotate("REML: τ = 0", (0, 1), xytext=(1.2, 0.98), fontsize=9.5, va="center", color=style.INK)
    axes[1].set_ylim(0, 1.12)
    axes[1].set_yticks([])
    axes[0].set_xlim(0, 30)
    style.finish(axes[0], x="", y="mean effect of a school given τ")
    style.finish(axes[1], x="τ, standard deviation between schools", y="posterior")
    return figure


def _apart(values: np.ndarray, gap: float) -> np.ndarray:
    """Return places for labels near `values`, each at least `gap` above the one below."""
    places, order = values.copy(), np.argsort(values)
    for lower, upper in itertools.pairwise(order):
        places[upper] = max(places[upper], places[lower] + gap)
    return places


def lesson_rats_intervals() -> Any:
    """Profile and posterior of each parameter of the rats' growth."""
    rats = _rats()
    model = mf.lmm("Weight ~ day + (day | Rat)", rats)
    return mf.compare(model.fit(), model.gibbs(draws=4000, seed=1)).plot(columns=3)


def lesson_rats() -> Any:
    """Growth curves with a new rat's band, and forecasts of one rat's last weight."""
    rats = _rats()
    figure, axes = style.pyplot().subplots(
        1, 2, figsize=(10.0, 4.2), layout="constrained", width_ratios=(1.25, 1)
    )
    for name, rows in rats.groupby("Rat", observed=True):
        axes[0].plot(rows["Day"], rows["Weight"], color=style.GREY, lw=0.7, alpha=0.7)
        if name == "26":
            axes[0].plot(
                rows["Day"], rows["Weight"], "o-", color=style.ORANGE, lw=1.6, ms=4, label="rat 26", zorder=3
            )
    new = pd.DataFrame({"Rat": "new", "Day": np.linspace(8, 36, 57)})
    new["day"] = new["Day"] - 22
    drawn = mf.lmm("Weight ~ day + (day | Rat)", rats).gibbs(draws=4000, seed=1).predict(new, seed=3).values
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=(0, 1))
    axes[0].fill_between(new["Day"], lower, upper, color=style.SKY, alpha=0.35, lw=0, label="95% of new rats")
    axes[0].plot(new["Day"], drawn.mean(axis=(0, 1)), color=style.BLUE, lw=2, label="mean")
    axes[0].legend(frameon=False, fontsize=9.5, loc="upper left")
    axes[0].set_xticks([8, 15, 22, 29, 36])
    style.finish(axes[0], x="day", y="weight (g)")
    _forecasts(axes[1], rats)
    return figure


def _forecasts(ax: Any, rats: pd.DataFrame) -> None:
    """Draw forecasts of rat 26's weight on day 36, from none of its weights to four."""
    last = rats[(rats["Rat"] == "26") & (rats["Day"] == 36)]
    for known in range(5):
        rows = rats[(rats["Rat"] != "26") | (rats["Day"] <= 1 + 7 * known)]
        drawn = mf.lmm("Weight ~ day + (day | Rat)", rows).gibbs(seed=4).predict(last, seed=5).values
        lower, upper = np.quantile(drawn, [0.025, 0.975])
        ax.plot([known, known], [lower, upper], color=style.SKY, lw=5, solid_capstyle="butt")
        ax.plot(known, drawn.mean(), "o", color=style.BLUE)
    ax.axhline(last["Weight"].iloc[0], color=style.ORANGE, lw=1.2, ls="--", label="its weight, 345 g")
    ax.legend(frameon=False, fontsize=9.5, loc="lower right")
    ax.set_xticks(range(5))
    style.finish(ax, x="weights of rat 26 that are known", y="forecast for day 36 (g)")


def _rats() -> pd.DataFrame:
    rats = mf.load_dataset("rats")
    return rats.assign(day=rats["Day"] - 22)


PICTURES: dict[str, Callable[[], Any]] = {
    "lesson_delta": lesson_delta,
    "lesson_coverage": lesson_coverage,
    "lesson_eight_schools": lesson_eight_schools,
    "lesson_rats": lesson_rats,
    "lesson_rats_intervals": lesson_rats_intervals,
}
FROM_GRASS: dict[str, Callable[[], Any]] = {"lesson_parabolas": lesson_parabolas}


def main(names: Sequence[str] = ()) -> None:
    """Make the pictures of these names, or all that can be made."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for name, make in (PICTURES | (FROM_GRASS if GRASS.exists() else {})).items():
        if names and name not in names:
            continue
        made = make()
        figure = made if hasattr(made, "savefig") else made.figure
        figure.savefig(DOCS / "images" / f"{name}.png", dpi=100, metadata={"Software": None})
        plt.close(figure)
        print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
