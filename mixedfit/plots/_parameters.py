"""Parameters of a posterior in pictures: which are drawn, their names in words, and a panel for each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.draws.tables import chosen_parameters
from mixedfit.bayes.draws.words import parameter_words
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count
from mixedfit.estimation.parameters import variance_parameters

from ._text import points_wide
from .style import BLUE, GREEN, INK, ORANGE, SKY, finish, grid, ink, new_axes, pyplot

__all__ = [
    "CHAINS",
    "Panels",
    "chain_legend",
    "checked_posterior",
    "edges_of",
    "font_scale",
    "names_to_draw",
    "panels",
    "title_of",
    "with_style",
]

CHAINS = (BLUE, ORANGE, GREEN, SKY, INK, "#CC79A7", "#E69F00", "#F0E442")
"""Colours of chains, in turn: Okabe & Ito's eight."""

MOST = 12
"""Largest number of parameters that are drawn unless they are chosen."""


def checked_posterior(posterior: Any, picture: str) -> PosteriorDraws:
    """Return the posterior, or raise a `ModelError` if it is something else."""
    if not isinstance(posterior, PosteriorDraws):
        raise ModelError(
            f"plots.{picture} draws a posterior, and was given a {type(posterior).__name__}; expected what "
            "model.gibbs() returns."
        )
    return posterior


def names_to_draw(
    posterior: PosteriorDraws, parameters: str | Iterable[str] | None, most: int = MOST
) -> tuple[list[str], str]:
    """Return the names of the parameters to draw, and a note if not all are drawn.

    By default all that are not known, at most `most` of them.
    """
    if parameters is not None:
        return chosen_parameters(posterior, parameters), ""
    names = [name for name in posterior.names if name not in posterior.held] or list(posterior.names)
    note = f"the first {most} of {len(names)} parameters" if len(names) > most else ""
    return names[:most], note


def edges_of(posterior: PosteriorDraws, name: str, draws: Array) -> tuple[float, float]:
    """Return the range of a parameter, beyond which its density is 0."""
    kinds = {p.long_name: p.kind for p in variance_parameters(posterior.design)}
    if name in posterior.design.x_names:
        return -np.inf, np.inf
    if kinds.get(name) == "correlation" or (name == "phi" and float(draws.min()) < 0.0):
        return -1.0, 1.0
    return 0.0, 1.0 if name == "phi" else np.inf


def font_scale() -> float:
    """Return the size of text over matplotlib's default: figures grow with it."""
    return max(float(pyplot().rcParams["font.size"]) / 10.0, 0.8)


@dataclass(frozen=True, eq=False)
class Panels:
    """Axes with a parameter each.

    Attributes
    ----------
    figure : Figure or None
        None if the axes were given.
    axes : list of Axes
    names : list of str
    words : dict of str to str
        Names in words, by name.
    """

    figure: Any
    axes: list[Any]
    names: list[str]
    words: dict[str, str]

    def each(self) -> Iterable[tuple[Any, str, str]]:
        """Yield axes, name and words of each parameter."""
        return ((ax, name, self.words[name]) for ax, name in zip(self.axes, self.names, strict=True))

    @property
    def made(self) -> Any:
        """The figure, or the axes that were given."""
        return self.axes[0] if self.figure is None else self.figure


def panels(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None,
    labels: Mapping[Any, str] | None,
    *,
    columns: int,
    width: float,
    height: float,
    ax: Any = None,
) -> Panels:
    """Return a figure with a panel for each parameter, or the axes given for one.

    Raises
    ------
    ModelError
        If a parameter or label is not known, `columns` is below 1, or `ax` is given for several parameters.
    """
    check_count("columns", columns, 1)
    names, note = names_to_draw(posterior, parameters)
    words = parameter_words(posterior, labels)
    if ax is not None:
        if len(names) != 1:
            raise ModelError(
                f"ax is for one parameter, and these are {len(names)}; choose one of {', '.join(posterior.names)}, "
                "or leave ax out."
            )
        return Panels(None, [new_axes(ax, width, height)], names, words)
    scale = font_scale()
    figure = grid(names, max(1, min(columns, len(names))), width=scale * width, height=scale * height)
    if note:
        figure.supxlabel(f"{note}; parameters= chooses others", fontsize="small", color=ink())
    return Panels(figure, list(figure.axes), names, words)


def title_of(ax: Any, words: str, detail: str = "") -> None:
    """Write the name of a parameter above its panel, in lines that fit, and a detail below the name."""
    size = 0.833 * float(pyplot().rcParams["font.size"])
    room = points_wide(ax) * (0.92 if ax.figure.get_layout_engine() is not None else 1.0)
    letters = max(int(room / (0.56 * size)), 8)
    lines = textwrap.wrap(words, letters, break_on_hyphens=False)
    lines += textwrap.wrap(detail, letters, break_on_hyphens=False)
    ax.set_title("\n".join(lines), loc="left", fontsize="small", color=ink())


def with_style(ax: Any, *, x: str = "", y: str = "", bare: bool = False) -> None:
    """Label axes as other pictures do, with text that follows ``rcParams["font.size"]``."""
    finish(ax)
    ax.tick_params(labelsize="small")
    if x:
        ax.set_xlabel(x, color=ink(), fontsize="small")
    if y:
        ax.set_ylabel(y, color=ink(), fontsize="small")
    if bare:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)


def chain_legend(found: Panels, chains: int) -> None:
    """Name the chains above the panels, or in the axes that were given; one chain needs no name."""
    from matplotlib.lines import Line2D

    if chains < 2:
        return
    handles = [
        Line2D([], [], color=CHAINS[c % len(CHAINS)], lw=2.0, label=f"chain {c + 1}") for c in range(chains)
    ]
    if found.figure is None:
        found.axes[0].legend(handles=handles, fontsize="small", frameon=False, loc="upper right")
        return
    across = int(found.figure.get_figwidth() / (0.95 * font_scale()))
    found.figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=max(1, min(len(handles), across)),
        fontsize="small",
        frameon=False,
    )
