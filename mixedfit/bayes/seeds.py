"""Seeds as people give them."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError

__all__ = ["generator", "sequence"]


def sequence(seed: object) -> np.random.SeedSequence:
    """Return a fresh seed sequence of a seed: none, a whole number, a seed sequence or a generator."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(0, 2**63, size=4).tolist())
    if seed is None:
        return np.random.SeedSequence()
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or int(seed) < 0:
        raise ModelError(
            f"seed is {seed!r}; expected a whole number ≥ 0, a numpy Generator or SeedSequence, or None."
        )
    return np.random.SeedSequence(int(seed))


def generator(seed: object) -> np.random.Generator:
    """Return the generator of a seed; a generator is used as it is."""
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(sequence(seed))
