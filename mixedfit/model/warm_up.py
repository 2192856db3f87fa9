"""Compilation of the kernels before they are needed: for images of containers, continuous integration and lessons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mixedfit.core.datasets import load_dataset
from mixedfit.kernels import compiled

from .lmm import lmm

__all__ = ["warm_up"]


def _ordinary() -> None:
    fit = lmm("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy")).fit()
    fit.summary(ddf="kenward-roger")
    fit.predict(se=True)
    fit.augment()


def _crossed() -> None:
    lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", load_dataset("Penicillin")).fit().summary()


def _profile() -> None:
    lmm("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy")).fit().conf_int(method="profile")


def _bootstrap() -> None:
    fit = lmm("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy")).fit()
    fit.bootstrap(10, seed=1, progress=False)


def _gibbs() -> None:
    model = lmm("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    model.gibbs(draws=10, tune=10, seed=1, progress=False)


STEPS: dict[str, Callable[[], Any]] = {
    "fits of one factor, tests, predictions": _ordinary,
    "crossed factors": _crossed,
    "profile intervals": _profile,
    "bootstrap": _bootstrap,
    "the Gibbs sampler": _gibbs,
}


def warm_up() -> Iterator[str]:
    """Compile what common analyses use, and yield the name of each part when it is ready.

    Machine code is cached beside the package, or in the folder of the environment variable NUMBA_CACHE_DIR. Kernels
    for large data and rarer methods are still compiled on first use.
    """
    for name, step in STEPS.items():
        with compiled():
            step()
        yield name
