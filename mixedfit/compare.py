"""Questions about several fits at once."""

from __future__ import annotations

from .inference.likelihood_ratio import LikelihoodRatioTable, likelihood_ratio
from .results import MixedResults

__all__ = ["anova"]


def anova(*fits: MixedResults, refit: bool = True) -> LikelihoodRatioTable:
    """Return the likelihood-ratio tests of nested models.

    Parameters
    ----------
    *fits : MixedResults
        At least two, on the same rows and response; they are ordered by their number of parameters.
    refit : bool
        Whether REML fits are refitted by maximum likelihood first, as they must be where fixed effects differ.

    Raises
    ------
    ModelError
        If the models cannot be compared.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> small = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    >>> large = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> table = mf.anova(small, large).table
    >>> table["chisq"].round(3).tolist()[1], table["df"].tolist()[1]
    (42.139, 2.0)
    """
    return likelihood_ratio([fit._fit for fit in fits], refit=refit)
