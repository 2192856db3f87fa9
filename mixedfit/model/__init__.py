"""What a user holds: `lmm`, `LinearMixedModel`, `MixedResults`, comparisons."""
