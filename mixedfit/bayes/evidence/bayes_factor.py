"""Bayes factors: ratios of the marginal likelihoods of two models of the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import ModelError, a_type
from mixedfit.core.format import number, probability_text, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.other_programs import hinted
from mixedfit.core.tables import Table, one_row
from mixedfit.design.same_rows import first_difference

from .evidence import Evidence

__all__ = ["BayesFactor", "bayes_factor"]

GRADES = (
    (3.0, "not worth more than a bare mention"),
    (20.0, "positive"),
    (150.0, "strong"),
    (np.inf, "very strong"),
)
"""Bayes factors up to which Kass & Raftery (1995), J. Am. Stat. Assoc. 90:773, section 3.2, call evidence so."""


@dataclass(frozen=True, eq=False)
class BayesFactor(NotebookTable):
    """The Bayes factor p(y | first)/p(y | second).

    Attributes
    ----------
    log : float
        Its natural logarithm.
    error : float
        Standard error of the logarithm, or its bound if both evidences were computed by quadrature.
    first, second : Evidence
    """

    log: float
    error: float
    first: Evidence
    second: Evidence

    @property
    def value(self) -> float:
        """The factor by which the data multiply the odds of the first model."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.log))

    @property
    def probability(self) -> float:
        """Posterior probability of the first model if both have prior probability 1/2."""
        return float(special.expit(self.log))

    def posterior_probability(self, prior: float = 0.5) -> float:
        """Return the posterior probability of the first model.

        Parameters
        ----------
        prior : float
            Its prior probability; the second model has the rest.

        Raises
        ------
        ModelError
            If `prior` is not between 0 and 1.
        """
        if not 0.0 < prior < 1.0:
            raise ModelError(f"prior is {prior!r}; expected a probability between 0 and 1.")
        return float(special.expit(self.log + np.log(prior) - np.log1p(-prior)))

    def __float__(self) -> float:
        return self.value

    @property
    def _names(self) -> list[str]:
        names = [self.first.formula, self.second.formula]
        return names if names[0] != names[1] else ["the first", "the second"]

    @property
    def _verdict(self) -> str:
        better = self._names[0 if self.log >= 0.0 else 1]
        grade = next(words for limit, words in GRADES if abs(self.log) <= np.log(limit))
        return f"Evidence for {better}: {grade} (Kass & Raftery 1995)."

    def _factor(self) -> str:
        if abs(self.log) > 600.0:
            return f"exp({number(self.log, 4)})"
        return number(self.value, 3) if abs(self.log) < 7.0 else f"{self.value:.2e}".replace("e+", "e")

    def _tables(self) -> list[Table]:
        cells = {
            "Bayes factor": self._factor(),
            "log": f"{self.log:.3f}",
            "error of log": f"{self.error:.1g}",
            "probability": probability_text(self.log),
        }
        names = f"First: {self.first.formula}. Second: {self.second.formula}."
        return [one_row("Bayes factor, first against second", cells, [names, self._verdict])]

    def __str__(self) -> str:
        names = self._names
        lines = [
            f"Bayes factor: {self._factor()} (logarithm {self.log:.3f}, error {self.error:.1g})",
            f"of      {names[0]}",
            f"against {names[1]}",
            f"Posterior probability of the first at equal prior odds: {probability_text(self.log)}",
        ]
        return "\n".join([*lines, *wrapped([self._verdict])])

    __repr__ = __str__


@hinted
def bayes_factor(first: Posterior | Evidence, second: Posterior | Evidence) -> BayesFactor:
    """Return the Bayes factor of one model against another on the same rows, p(y | first)/p(y | second).

    It depends on the priors of the parameters that only one of the models has: wider priors make evidence against that
    model. Priors of parameters of both models matter little. Kass & Raftery (1995), J. Am. Stat. Assoc. 90:773.

    Parameters
    ----------
    first, second : Posterior or Evidence
        From `gibbs`, or its ``log_evidence()``.

    Returns
    -------
    BayesFactor
        Prints the factor, its error and the posterior probability at equal prior odds.

    Raises
    ------
    ModelError
        If the rows, responses or weights differ, or a prior is improper.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("seedling_weight")
    >>> with_genotype = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", data).gibbs(seed=1)
    >>> without = mf.lmm("SeedlingWeight ~ 1 + (1 | Tray)", data).gibbs(seed=1)
    >>> round(mf.bayes_factor(with_genotype, without).value, 3)
    0.345
    """
    one, two = _evidence(first), _evidence(second)
    differs = first_difference([one.design, two.design])
    if differs:
        raise ModelError(
            f"the two models differ in their {differs} ({one.design.n:,} and {two.design.n:,} rows): a Bayes factor "
            "compares models of the same data. Give both the same frame without missing values, the same response "
            "and the same weights."
        )
    return BayesFactor(one.value - two.value, float(np.hypot(one.error, two.error)), one, two)


def _evidence(model: object) -> Evidence:
    """Return the evidence of a posterior, or an evidence itself."""
    if isinstance(model, Evidence):
        return model
    if isinstance(model, Posterior):
        return model.log_evidence()
    raise ModelError(
        f"{a_type(model)} is neither a posterior nor an evidence; expected what model.gibbs() returns."
    )
