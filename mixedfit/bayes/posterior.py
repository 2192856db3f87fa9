"""The posterior of a linear mixed model: its methods, warnings, files and print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixedfit.bayes.priors.statements import Statements, prior_table
from mixedfit.core.errors import ModelError
from mixedfit.core.format import seconds_text
from mixedfit.core.lazy import lazy
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.pictures import picture
from mixedfit.core.tables import Table, text_table
from mixedfit.estimation.design_storage import read_design
from mixedfit.estimation.residual_storage import unpack_structure

from .criticism_methods import CriticismMethods
from .draws.convergence import convergence_warnings
from .draws.draws import format_summary, summary_cells
from .draws.export import write_posterior
from .draws.queries import mixing_of, stuck_warning
from .draws.structure_draws import StructureDraws
from .summary_methods import SummaryMethods

__all__ = ["Posterior", "read_posterior"]


@dataclass(frozen=True, eq=False)
class Posterior(SummaryMethods, CriticismMethods, NotebookTable):
    """Draws from the posterior of a linear mixed model. Made by `LinearMixedModel.gibbs`.

    See `PosteriorDraws` for the names of the parameters and the attributes.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    >>> posterior = model.gibbs(seed=1)
    >>> posterior["GenotypeB"].shape
    (4, 1000)
    >>> 0.05 < posterior.probability("GenotypeB > 0").value < 0.12
    True
    """

    def save(self, path: str | Path) -> None:
        """Write the draws and the data of the model to a file of numbers and text (npz); `mixedfit.load` reads it.

        ``loo(refit=True)``, which samples again, is not available after `mixedfit.load`.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ModelError
            If the model is not normal with one σ.
        """
        if self.scales is not None or type(self) is not Posterior:
            raise ModelError(
                "only posteriors with normal residuals and effects and one σ can be saved yet; pickle this one, or "
                "keep .to_arviz()."
            )
        write_posterior(self, path)

    @property
    def plot(self) -> Any:
        """Pictures: ``posterior.plot()`` draws traces, ``posterior.plot.density()`` and its like more.

        The methods are those of `mixedfit.plots.PosteriorPictures`: `trace`, `rank`, `chain_autocorrelation`,
        `density`, `intervals`, `pairs`, `prior_and_posterior`, `credible_bands`, `drawn_lines` and
        `predictive_groups`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> posterior.plot.density("sigma").savefig("sigma.png")  # doctest: +SKIP
        """
        return picture("PosteriorPictures")(self)

    @lazy
    def _stuck(self) -> str:
        return stuck_warning(self)

    @lazy
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the convergence of the chains; empty if there are none."""
        return convergence_warnings(self.summary(), self._stuck, self.chains, self.draws, self.ess_wanted)

    @property
    def _sampled(self) -> str:
        sampled = f"{self.chains} chain{'s' if self.chains > 1 else ''} of {self.draws} draws"
        every = f", 1 of every {self.thin} sweeps," if self.thin > 1 else ""
        return f"{sampled}{every} after {self.tune} of tuning, {seconds_text(self.seconds)}"

    @property
    def _reached(self) -> list[str]:
        """Return the effective draws wanted and reached, as a line of the printout; none with a fixed number."""
        if self.ess_wanted is None:
            return []
        least = mixing_of(self)
        early = f"; {self.limit} ended the run" if self.limit else ""
        wanted = f"wanted: {self.ess_wanted:.0f}{early}"
        return [f"Effective draws: {least.ess:.0f} for {least.name}, which has the fewest; {wanted}"]

    def _remarks(self) -> list[str]:
        """Return the lines below the summary."""
        groups = ", ".join(f"{block.name}, {block.levels}" for block in self.design.blocks)
        lines = [f"Rows: {self.design.n}" + (f"; groups: {groups}" if groups else "")]
        if self.dropped:
            lines.append(f"Dropped, being determined by the others: {', '.join(self.dropped)}")
        return [*lines, *(f"Warning: {text}" for text in self.warnings)]

    def _tables(self) -> list[Table]:
        text, rest = summary_cells(self.summary())
        notes = [*([rest] if rest else []), self._sampled, *self._reached, *self._remarks()]
        source = self.design.formula.source
        return [prior_table(self.priors), text_table(f"Posterior of {source}", text, notes)]

    def __str__(self) -> str:
        lines = [
            "Linear mixed model, Gibbs sampler",
            f"Formula: {self.design.formula.source}",
            self._sampled,
            *self._reached,
            "",
            "Priors:",
            *(f"  {statement}" for statement in self.priors),
            "",
            format_summary(self.summary()),
            "",
            *self._remarks(),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def read_posterior(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> Posterior:
    """Return the posterior that `Posterior.save` wrote; it cannot be sampled again."""
    design, structure = read_design(header, arrays), None
    if "residual" in header:
        model = unpack_structure(header["residual"], arrays, design)
        design = replace(design, residual=model)
        names = tuple(p.name for p in model.natural(model.start))
        structure = StructureDraws(names, arrays["structure_x"], arrays["structure_values"])
    return Posterior(
        design=design,
        kept=arrays["kept"],
        priors=Statements(header["priors"]),
        beta=arrays["beta"],
        sigma=arrays["sigma"],
        omega=tuple(arrays[f"omega{f}"] for f in range(len(design.blocks))),
        effects=tuple(arrays[f"effects{f}"] for f in range(len(design.blocks)) if f"effects{f}" in arrays),
        tune=header["tune"],
        thin=header["thin"],
        seconds=header["seconds"],
        acceptance=arrays.get("acceptance"),
        held=frozenset(header["held"]),
        given=tuple(header["given"]),
        ess_wanted=header.get("ess"),
        limit=header.get("limit", ""),
        structure=structure,
    )
