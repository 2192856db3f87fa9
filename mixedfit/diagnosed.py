"""The door from a fitted model to its diagnostics."""

from __future__ import annotations

from ._lazy import lazy
from .diagnostics import Diagnostics
from .fit import Fit

__all__ = ["Diagnosed"]


class Diagnosed:
    """What a fit says about how well it describes its data; `MixedResults` has it."""

    _fit: Fit

    @lazy
    def diagnostics(self) -> Diagnostics:
        """Residuals, leverages, influence, principal components of random effects, R² and intraclass correlations.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.diagnostics.leverages.round(3).head(2)
           overall  fixed  random
        0    0.107  0.019   0.088
        1    0.102  0.014   0.088
        """
        return Diagnostics(self._fit)
