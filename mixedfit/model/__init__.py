"""User objects: `lmm`, `LinearMixedModel`, `MixedResults`, comparisons of fits and posteriors."""
