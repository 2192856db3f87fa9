"""Estimated marginal means and their contrasts.

* `emmeans`: the means; `reference_grid`: the cells over which they are averaged.
* `contrasts`: families of contrasts and their tables; `multiplicity`: adjusted p-values and simultaneous intervals.
"""
