"""Make the pictures of the lessons: ``python docs/lessons/pictures.py`` (needs the extra "plot").

That of lesson 002 is made if ../shared/data/pdensity.csv lies beside the project; the data are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
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


PICTURES: dict[str, Callable[[], Any]] = {"lesson_delta": lesson_delta, "lesson_coverage": lesson_coverage}
FROM_GRASS: dict[str, Callable[[], Any]] = {"lesson_parabolas": lesson_parabolas}


def main() -> None:
    """Make all pictures that can be made."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for name, make in (PICTURES | (FROM_GRASS if GRASS.exists() else {})).items():
        made = make()
        figure = made if hasattr(made, "savefig") else made.figure
        figure.savefig(DOCS / "images" / f"{name}.png", dpi=100, metadata={"Software": None})
        plt.close(figure)
        print(name)


if __name__ == "__main__":
    main()
