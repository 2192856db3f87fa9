"""Make the pictures of the pages: ``python docs/pictures.py`` (needs the extra "plot"). The gallery has their code.

Those of the data sets that ship are always made. Those of the NELS pupils are made if ../shared/data/nels.csv lies
beside the project; the data are not part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mixedfit as mf
from mixedfit import plots

HERE = Path(__file__).resolve().parent
NELS = HERE.parents[1] / "shared" / "data" / "nels.csv"
DPI = 100

GALLERY = (HERE / "gallery.md").read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"^```python( draws)?\n(.*?)^```$", GALLERY, re.DOTALL | re.MULTILINE))
ROWS = list(re.finditer(r"^\| !\[[^]]*\]\(images/(\w+)\.png\) \| `([^`]+)` \|$", GALLERY, re.MULTILINE))


@lru_cache
def names_of(blocks: int) -> dict[str, Any]:
    """Return what the first blocks of code of the gallery define."""
    if blocks == 0:
        return {}
    scope = dict(names_of(blocks - 1))
    exec(BLOCKS[blocks - 1][2], scope)
    return scope


def pictures_of_the_gallery(drawn: bool) -> dict[str, Callable[[], Any]]:
    """Return the gallery's rows, as functions that draw them: those after a block of random draws, or the others."""
    found: dict[str, Callable[[], Any]] = {}
    for row in ROWS:
        blocks = sum(block.start() < row.start() for block in BLOCKS)
        if bool(BLOCKS[blocks - 1][1]) == drawn:
            found[row[1]] = partial(_draw, row[2], blocks)
    return found


def _draw(code: str, blocks: int) -> Any:
    return eval(code, names_of(blocks))


def sleep() -> mf.MixedResults:
    """Return the gallery's fit of the reaction times."""
    fit: mf.MixedResults = names_of(1)["sleep"]
    return fit


SHIPPED = pictures_of_the_gallery(drawn=False)
DRAWN = pictures_of_the_gallery(drawn=True)
"""Pictures of random draws, which on another machine are other draws."""


# -- NELS: 12,974 pupils in 684 schools ------------------------------------------------------------


@lru_cache
def nels() -> pd.DataFrame:
    return pd.read_csv(NELS)


@lru_cache
def nels_slopes() -> mf.MixedResults:
    """A line of mathematics on socio-economic status for each school, by maximum likelihood."""
    return mf.lmm("mscore ~ ses + (ses | school)", nels()).fit(reml=False)


@lru_cache
def nels_macro() -> mf.MixedResults:
    """The same, with schools' shares of pupils on free or reduced-price lunch behind intercepts and slopes."""
    return mf.lmm("mscore ~ flp * ses + (ses | school)", nels()).fit(reml=False)


def nels_range() -> Any:
    """Range of the shrunken coefficients beside that of least squares, and all of them as arrows."""
    fits = plots.group_fits(nels_slopes(), 0)
    plt = plots.style.pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(12.0, 4.2), layout="constrained", width_ratios=(1, 1, 1.7))
    for ax, name in zip(axes, fits.effects, strict=False):
        alone, ours = fits.alone[name].dropna(), fits.shrunken[name]
        edges = np.linspace(*np.quantile(alone, [0.002, 0.998]), 45)
        ax.hist(np.clip(alone, edges[0], edges[-1]), edges, color="#bdbdbd", label="each school alone")
        ax.hist(ours, edges, histtype="step", color="#0072B2", lw=1.6, label="in the model")
        words = "intercept" if name == "(Intercept)" else f"slope of {name}"
        plots.style.finish(ax, x=words, y="schools" if ax is axes[0] else "")
        ax.set_title(f"SD {alone.std():.2f} alone, {ours.std():.2f} shrunken", fontsize=10, loc="left")
    axes[0].legend(fontsize=8.5, frameon=False, loc="upper left")
    plots.shrinkage(nels_slopes(), ax=axes[2])
    return figure


def nels_by_size() -> Any:
    """Intercepts and slopes of schools by their number of pupils, alone and in the model."""
    plt = plots.style.pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(11.0, 4.2), layout="constrained")
    for ax, name in zip(axes, ("(Intercept)", "ses"), strict=True):
        plots.shrinkage_by_size(nels_slopes(), effect=name, ax=ax)
        ax.set_xlabel("pupils of the school")
    return figure


def by_flp() -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Return the model's coefficients of each school, and its class of free lunch."""
    return nels_slopes().group_coefs["school"], nels().groupby("school")["flp"].first()


def nels_macro_effects() -> Any:
    """Schools' coefficients by free lunch, with the lines of the model that has it as a predictor."""
    coefs, flp = by_flp()
    beta = nels_macro().params
    plt = plots.style.pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 4.2), layout="constrained")
    rng = np.random.default_rng(1)
    spread = flp.loc[coefs.index] + rng.uniform(-0.16, 0.16, len(coefs))
    places = np.array([1.0, 3.0])
    lines = {
        "(Intercept)": beta["(Intercept)"] + beta["flp"] * places,
        "ses": beta["ses"] + beta["flp:ses"] * places,
    }
    for ax, name in zip(axes, ("(Intercept)", "ses"), strict=True):
        ax.scatter(spread, coefs[name], s=9, color="#767676", alpha=0.4, linewidths=0)
        for value in (1, 2, 3):
            mean = coefs.loc[flp.loc[coefs.index] == value, name].mean()
            ax.plot([value - 0.25, value + 0.25], [mean] * 2, color="#1a1a1a", lw=2)
        ax.plot(places, lines[name], color="#D55E00", lw=1.8)
        ax.annotate("model\nwith flp", (3.0, lines[name][1]), xytext=(34, 0), textcoords="offset points",
                    color="#D55E00", fontsize=9, va="center")  # fmt: skip
        counts = flp.value_counts()
        ax.set_xticks(
            [1, 2, 3], [f"{w}\n({counts[k]} schools)" for k, w in ((1, "0–5%"), (2, "5–30%"), (3, "> 30%"))]
        )
        words = "intercept" if name == "(Intercept)" else f"slope of {name}"
        plots.style.finish(ax, x="pupils on free or reduced-price lunch", y=f"{words} of a school")
    return figure


FROM_NELS: dict[str, Callable[[], Any]] = {
    "nels_range": nels_range,
    "nels_by_size": nels_by_size,
    "nels_macro_effects": nels_macro_effects,
    "nels_within_group": lambda: plots.within_group(nels_slopes()),
    "nels_caterpillar": lambda: plots.caterpillar(nels_slopes(), "school"),
}


def figure_of(made: Any) -> Any:
    """Return the figure of what a picture's function returned."""
    return made if hasattr(made, "savefig") else made.figure


def main() -> None:
    """Make all pictures that can be made."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    wanted = SHIPPED | DRAWN | (FROM_NELS if NELS.exists() else {})
    for name, make in wanted.items():
        figure = figure_of(make())
        figure.savefig(HERE / "images" / f"{name}.png", dpi=DPI, metadata={"Software": None})
        plt.close(figure)
        print(name)


if __name__ == "__main__":
    main()
