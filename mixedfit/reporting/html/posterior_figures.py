"""Pictures of a posterior in the page, with alternative text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixedfit import plots
from mixedfit.bayes.criticism.predictive_check import PredictiveCheck
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.format import number
from mixedfit.estimation.labels import NamedDesign, group_label, level_label

from . import figures
from .figures import MOST_EFFECTS, MOST_NAMED, Picture
from .model_words import effect_in_words

__all__ = ["chain_pictures", "check_pictures", "group_pictures", "parameter_pictures"]

Labels = Mapping[str, str] | None


def chain_pictures(posterior: Posterior, names: Sequence[str], labels: Labels) -> list[Picture]:
    """Return the traces and the rank histograms of parameters."""
    shown = f"{len(names)} parameters"
    out = [
        Picture(
            figures.figure_svg(lambda: plots.trace(posterior, names, columns=1, labels=labels)),
            f"Traces of {posterior.chains} chains of {posterior.draws:,} draws of {shown}.",
            "The chains of each parameter. They should look alike, without trends and without long stays at one value.",
            wide=True,
        )
    ]
    if posterior.chains > 1:
        out.append(
            Picture(
                figures.figure_svg(lambda: plots.rank(posterior, names, columns=2, labels=labels)),
                f"Rank histograms of {posterior.chains} chains of {shown}.",
                "Ranks of the draws of each chain among all draws. All bars should end near the line of their chain.",
                wide=True,
            )
        )
    return out


def parameter_pictures(
    posterior: Posterior, names: Sequence[str], level: float, labels: Labels
) -> list[Picture]:
    """Return the intervals of the fixed effects and the densities of the parameters."""
    fixed = [
        posterior.design.x_names[i] for i in posterior.kept if posterior.design.x_names[i] != "(Intercept)"
    ]
    out = []
    if fixed:
        count = f"{len(fixed)} fixed effect{'s' * (len(fixed) > 1)}"
        out.append(
            Picture(
                figures.axes_svg(
                    lambda ax: plots.intervals(posterior, fixed, levels=(0.5, level), labels=labels, ax=ax),
                    7.0,
                    1.3 + 0.34 * max(len(fixed), 2),
                ),
                f"Posterior medians of {count} with 50% and {100 * level:g}% intervals.",
                f"Medians of the fixed effects with 50% (thick) and {100 * level:g}% intervals (thin).",
                wide=True,
            )
        )
    return [
        *out,
        Picture(
            figures.figure_svg(
                lambda: plots.density(posterior, names, level=level, columns=2, labels=labels)
            ),
            f"Posterior densities of {len(names)} parameters.",
            "Densities of all draws (grey) and of each chain (lines), with the median and the "
            f"{100 * level:g}% interval.",
            wide=True,
        ),
    ]


def group_pictures(posterior: Posterior, level: float, labels: Labels) -> list[Picture]:
    """Return the posterior of the random effects of every level, a picture for each effect."""
    if len(posterior.effects) < len(posterior.design.blocks):
        return []
    places = [(at, j) for at, block in enumerate(posterior.design.blocks) for j in range(block.k)]
    return [_group_picture(posterior, at, j, level, labels) for at, j in places[:MOST_EFFECTS]]


def _group_picture(posterior: Posterior, at: int, j: int, level: float, labels: Labels) -> Picture:
    block = posterior.design.blocks[at]
    medians = np.median(posterior.effects[at][..., j], axis=(0, 1))
    effect = effect_in_words(NamedDesign(posterior.design), at, block.effects[j], labels)
    group = group_label(block.name, labels)
    low, high = (
        level_label(block.grouping.levels[int(i)], labels) for i in (medians.argmin(), medians.argmax())
    )
    height = max(2.6, 0.19 * block.levels + 1.0) if block.levels <= MOST_NAMED else 6.0
    return Picture(
        figures.axes_svg(
            lambda ax: plots.group_effects(
                posterior, block.name, block.effects[j], level=level, labels=labels, ax=ax
            ),
            5.2,
            height,
        ),
        f"Posterior medians of the random {effect} of {block.levels:,} levels of {group} with {100 * level:g}% "
        f"intervals, from {number(float(medians.min()), 3)} ({low}) to {number(float(medians.max()), 3)} ({high}).",
        f"How levels of {group} differ in their {effect}: posterior medians and {100 * level:g}% intervals, which "
        "include the uncertainty of the variances.",
    )


def check_pictures(check: PredictiveCheck) -> list[Picture]:
    """Return the replicated responses and their statistics."""
    return [
        Picture(
            figures.axes_svg(lambda ax: plots.predictive_responses(check, ax=ax), 5.2, 3.8),
            f"Density of the response over those of {len(check.responses)} replicated responses.",
            "The distribution of the data (black) should be like those of replicated data (blue).",
        ),
        Picture(
            figures.figure_svg(lambda: plots.predictive_statistics(check, columns=2)),
            f"Histograms of {len(check.table)} statistics of replicated data, with those of the data.",
            "Statistics of replicated data, with that of the data as a line. A line in the tail shows a misfit.",
            wide=True,
        ),
    ]
