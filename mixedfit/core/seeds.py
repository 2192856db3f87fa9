"""Seed sequences and generators from the `seed` option."""

from __future__ import annotations

import numpy as np

from .errors import ModelError, a_type

__all__ = ["generator", "seed_sequence"]


def seed_sequence(seed: object) -> np.random.SeedSequence:
    """Return a new seed sequence from a seed: None, a whole number, a SeedSequence or a Generator.

    Raises
    ------
    ModelError
        If `seed` is none of these.
    """
    if seed is None:
        return np.random.SeedSequence()
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(2**32, size=4).tolist())
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and seed >= 0:
        return np.random.SeedSequence(int(seed))
    raise ModelError(
        f"seed={seed!r} is {a_type(seed)}; expected a whole number of at least 0, a numpy SeedSequence, a "
        "numpy Generator, or None."
    )


def generator(seed: object) -> np.random.Generator:
    """Return the generator of a seed; a Generator is returned unchanged."""
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed_sequence(seed))
