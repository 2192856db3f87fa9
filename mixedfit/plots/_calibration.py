"""Simulation-based calibration: distribution functions of ranks with bands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mixedfit.bayes.calibration.record import Calibration
from mixedfit.bayes.calibration.uniformity import ecdf_band, ecdf_differences
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count, check_level

from ._parameters import font_scale, title_of, with_style
from .style import BLUE, ORANGE, chosen_names, faint, grid, ink, new_axes, reference_line

__all__ = ["calibration"]


def calibration(
    found: Calibration,
    parameters: str | Iterable[str] | None = None,
    *,
    level: float = 0.95,
    columns: int = 3,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the distribution function of each parameter's ranks less the uniform one, with a simultaneous band.

    Lines that leave the band are orange and dashed. Säilynoja, Bürkner & Vehtari (2022), Stat. Comput. 32:32.

    Parameters
    ----------
    found : Calibration
        From `LinearMixedModel.calibration`.
    parameters, level, columns, labels, ax
        As in `Calibration.plot`.

    Returns
    -------
    matplotlib Figure, or `ax`

    Raises
    ------
    ModelError
        If a parameter is not known, `ax` is given for several, or matplotlib is not installed.
    """
    check_level(level)
    check_count("columns", columns, 1)
    known = [str(name) for name in found.ranks]
    chosen = parameters if parameters is None or isinstance(parameters, str) else list(parameters)
    names = chosen_names(chosen, known, "a parameter of the simulations")
    if ax is not None and len(names) != 1:
        raise ModelError(f"ax is for one parameter, and these are {len(names)}; choose one, or leave ax out.")
    scale = font_scale()
    across = max(1, min(columns, len(names)))
    figure = grid(names, across, width=scale * 3.3, height=scale * 2.3) if ax is None else None
    low, high = ecdf_band(found.simulations, found.draws, level)
    places = np.arange(1, found.draws + 1) / (found.draws + 1)
    for own, name in zip([new_axes(ax, 4.0, 3.0)] if figure is None else figure.axes, names, strict=True):
        differences = ecdf_differences(found.ranks[name].to_numpy(dtype=np.int64), found.draws)
        outside = bool(np.any((differences < low - 1e-12) | (differences > high + 1e-12)))
        own.fill_between(places, low, high, color=faint(), lw=0, step="mid")
        reference_line(own, y=0.0)
        line = {"color": ORANGE, "ls": (0, (4, 1))} if outside else {"color": BLUE}
        own.plot(places, differences, lw=1.6, drawstyle="steps-mid", **line)
        own.set_xlim(0.0, 1.0)
        reach = 1.15 * max(float(np.abs(differences).max()), float(high.max()))
        own.set_ylim(-reach, reach)
        title_of(own, (labels or {}).get(name, name))
        with_style(own, x="rank as a share of the draws")
    first = ax if figure is None else figure.axes[0]
    first.set_ylabel("ECDF − uniform", color=ink(), fontsize="small")
    return ax if figure is None else figure
