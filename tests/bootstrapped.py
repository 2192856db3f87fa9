"""Fits of every kind of model that a bootstrap must serve."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

import mixedfit as mf


def small_frame() -> pd.DataFrame:
    """Return 24 rows with two crossed factors, a covariate, weights (two of them 0) and an offset."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"g": np.repeat(list("abcdef"), 4), "h": np.tile(list("uvwx"), 6), "x": rng.normal(size=24)}
    )
    frame["w"] = rng.uniform(0.5, 2.0, 24)
    frame.loc[[3, 17], "w"] = 0.0
    frame["base"] = rng.normal(size=24) + 5.0
    effects = dict(zip("abcdef", rng.normal(size=6), strict=True))
    others = dict(zip("uvwx", rng.normal(size=4), strict=True))
    frame["y"] = frame["base"] + frame["g"].map(effects) + frame["h"].map(others) + rng.normal(size=24)
    return frame


def crossed_fit() -> mf.MixedResults:
    return mf.lmm("y ~ x + (x | g) + (1 | h)", small_frame(), weights="w", offset="base").fit()


def nested_frame() -> pd.DataFrame:
    frame = mf.load_dataset("Pastes")
    frame["x"] = np.arange(len(frame)) % 7 / 3.0
    frame["twice"] = 2.0 * frame["x"] - 1.0
    frame["w"] = 1.0 + np.arange(len(frame)) % 3
    return frame


def many_frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"f": np.tile(np.arange(210), 3), "g": rng.integers(12, size=630)})
    frame["x"] = rng.normal(size=630)
    frame["y"] = frame["x"] + 0.1 * frame["f"] + rng.normal(size=12)[frame["g"]] + rng.normal(size=630)
    frame["f"] = frame["f"].map("f{:03d}".format)
    return frame


def swapped_fit() -> mf.MixedResults:
    """Return a fit whose factor with most effects is not the one with most levels."""
    rng = np.random.default_rng(31)
    frame = pd.DataFrame({"a": rng.integers(10, size=120), "b": rng.integers(6, size=120)})
    frame["x"] = rng.normal(size=120)
    slopes = rng.normal(size=6)[frame["b"]] * frame["x"]
    frame["y"] = rng.normal(size=10)[frame["a"]] + rng.normal(size=6)[frame["b"]] + slopes
    frame["y"] += rng.normal(size=120)
    return mf.lmm("y ~ x + (1 | a) + (x | b)", frame).fit()


def sparse_frame() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    frame = pd.DataFrame({"a": np.repeat(np.arange(420), 4), "b": np.tile([0, 0, 1, 1], 420)})
    frame["y"] = rng.normal(size=420)[frame["a"]] + rng.normal(size=840)[np.repeat(np.arange(840), 2)]
    frame["y"] += rng.normal(size=len(frame))
    return frame


FITS: dict[str, Callable[[], mf.MixedResults]] = {
    "slopes": lambda: mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit(),
    "ml": lambda: mf.lmm("Reaction ~ Days + (Days || Subject)", mf.load_dataset("sleepstudy")).fit(False),
    "crossed, weights, offset": crossed_fit,
    "most effects on fewer levels": swapped_fit,
    "nested": lambda: mf.lmm("strength ~ x + (1 | batch/cask)", nested_frame()).fit(),
    "rank": lambda: mf.lmm("strength ~ x + twice + (1 | batch)", nested_frame(), weights="w").fit(),
    "held sigma": lambda: mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit(sigma=50.0),
    "singular": lambda: mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit(),
    "sparse tail": lambda: mf.lmm("y ~ 1 + (1 | a/b)", sparse_frame()).fit(),
    "many": lambda: mf.lmm("y ~ x + f + (1 | g)", many_frame()).fit(),
    "no random effects": lambda: mf.lmm("strength ~ x", nested_frame()).fit(),
}
