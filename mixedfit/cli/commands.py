"""What each command does; each returns the exit code."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Literal

import pandas as pd

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.datasets import dataset_names, load_dataset
from mixedfit.core.errors import ModelError
from mixedfit.model.fit_and_posterior import compare
from mixedfit.model.likelihood_ratio import anova as likelihood_ratios
from mixedfit.model.report import report
from mixedfit.model.results import MixedResults
from mixedfit.plots.style import pyplot
from mixedfit.reporting.explain import explain as explained

from .model import data_of, fitted, fitted_all, model_of, model_on, new_rows
from .output import (
    Limits,
    check_folder,
    check_picture,
    format_of,
    labels_of,
    rendered,
    table,
    warnings_in_words,
    write,
    write_frame,
)

__all__ = ["COMMANDS", "EXIT_BAD_INPUT", "EXIT_INTERRUPTED", "EXIT_OK"]

EXIT_OK, EXIT_NOT_CONVERGED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


def datasets(_: argparse.Namespace) -> int:
    """List the data sets of the package."""
    for name in dataset_names():
        frame = load_dataset(name)
        print(f"{name:<18}{len(frame):>6} rows   {', '.join(map(str, frame.columns))}")
    return EXIT_OK


def warm_up(_: argparse.Namespace) -> int:
    """Compile the numerical code."""
    from mixedfit.model.warm_up import warm_up as compiled

    for name in compiled():
        print(f"compiled: {name}", flush=True)
    return EXIT_OK


def fit(options: argparse.Namespace) -> int:
    """Fit a model and write its summary, with intervals if they are asked for."""
    how = options.format or format_of(options.out)
    with warnings_in_words():
        results = fitted(options)
        summary = results.summary(correlation=options.correlation, ddf=options.ddf)
        limits = None if options.ci is None else _intervals(results, options)
    write(rendered(summary, how, limits), options.out)
    return EXIT_OK if results.converged else EXIT_NOT_CONVERGED


def write_report(options: argparse.Namespace) -> int:
    """Fit a model and write a page about it."""
    with warnings_in_words():
        results = fitted(options)
        wanted: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}
        path = report(
            results,
            options.out,
            title=options.title,
            level=options.level,
            profile=wanted[options.profile],
            labels=labels_of(options.label),
        )
    print(f"{results.convergence.message}\nWritten to {path}")
    return EXIT_OK if results.converged else EXIT_NOT_CONVERGED


def sample(options: argparse.Namespace) -> int:
    """Print a posterior, or a fit beside it; write its page and its draws if they are asked for."""
    picture = getattr(options, "plot", None)
    if picture is not None:
        check_picture(picture)
    labels = _labels_of_page(options)
    with warnings_in_words():
        model = model_of(options)
        draws = 1000 if options.draws is None and options.ess is None else options.draws
        settings = {"draws": draws, "ess": options.ess, "tune": options.tune, "chains": options.chains}
        posterior = model.gibbs(seed=options.seed, **settings)
        if options.save is not None:
            posterior.save(options.save)
            print(f"Draws written to {options.save}", file=sys.stderr)
        page: dict[str, Any] = {"title": options.title, "labels": labels}
        if options.command == "gibbs":
            _write_posterior(posterior, options.out)
            subject: Any = posterior
        else:
            subject, page["posterior"] = model.fit(), posterior
            _write_comparison(subject, posterior, options)
        if options.report is not None:
            print(f"Page written to {report(subject, options.report, **page)}", file=sys.stderr)
    return EXIT_NOT_CONVERGED if posterior.warnings else EXIT_OK


def _labels_of_page(options: argparse.Namespace) -> dict[str, str]:
    """Return the labels of the page; refuse what could not be written, before anything is sampled."""
    for name in ("report", "save"):
        check_folder(f"--{name}", getattr(options, name))
    if options.report is not None:
        pyplot()
    elif options.label or options.title:
        raise ModelError("--label and --title are for the page that --report FILE writes; add it.")
    return labels_of(options.label)


def _write_posterior(posterior: Posterior, out: str | None) -> None:
    facts = {
        "formula": posterior.design.formula.source,
        "chains": posterior.chains,
        "draws": posterior.draws,
        "tune": posterior.tune,
        "priors": list(posterior.priors),
        "warnings": list(posterior.warnings),
    }
    how, text = format_of(out), str(posterior)
    write(text if how == "text" else table(posterior.summary(), facts, text, how), out)


def _write_comparison(results: MixedResults, posterior: Posterior, options: argparse.Namespace) -> None:
    methods: list[Any] = ["wald", "profile", *(["boot"] if options.bootstrap else [])]
    side = compare(results, posterior, methods=methods, seed=options.seed)
    how, text = format_of(options.out), str(side)
    notes = {"notes": list(side.notes)}
    write(text if how == "text" else table(side.table, notes, text, how), options.out)
    if options.plot is not None:
        side.plot().savefig(options.plot)
        print(f"Picture written to {options.plot}", file=sys.stderr)


def _intervals(results: MixedResults, options: argparse.Namespace) -> Limits:
    """Return the intervals that a command asks for."""
    ddf: dict[str, Any] = (
        {} if options.ddf in (None, "none") or options.ci != "wald" else {"ddf": options.ddf}
    )
    limits = results.conf_int(options.level, options.ci, names="words", seed=options.seed, **ddf)
    estimates = results.parameters("words").reindex(limits.index)
    methods = {"wald": "Wald", "profile": "profile", "boot": "bootstrap percentile"}
    caption = f"{100 * options.level:g}% {methods[options.ci]} intervals"
    return Limits(caption, pd.concat([estimates, limits], axis=1))


def anova(options: argparse.Namespace) -> int:
    """Print F tests of the terms of one model, or likelihood-ratio tests of several."""
    labels = labels_of(options.label)
    with warnings_in_words():
        fits = fitted_all(options)
        if len(fits) > 1:
            if options.type is not None or options.ddf is not None:
                raise ModelError(
                    "--type and --ddf are of the tests of one model; several are compared by likelihood."
                )
            found: Any = likelihood_ratios(*fits)
        else:
            found = fits[0].anova(type=options.type or 3, ddf=options.ddf)
    write_frame(found, found.table, options.out, labels)
    return _code(fits)


def emmeans(options: argparse.Namespace) -> int:
    """Print marginal means, and contrasts of them if they are asked for."""
    labels = labels_of(options.label)
    with warnings_in_words():
        results = fitted(options)
        by = [name.strip() for name in options.by.split(",") if name.strip()]
        text = options.specs
        specs = text if "~" in text or "|" in text or "," not in text else text.split(",")
        found: Any = results.emmeans(specs, by=by, ddf=options.ddf, level=options.level, type=options.type)
        if options.contrasts is not None:
            found = found.contrasts(options.contrasts, options.adjust, family=options.family)
    write_frame(found, found.table, options.out, labels)
    return _code([results])


def predict(options: argparse.Namespace) -> int:
    """Write predictions of the rows of the fit, or of new ones, as CSV beside their columns."""
    with warnings_in_words():
        data = data_of(options)
        results = model_on(options.formula, data, options).fit(reml=not options.ml, sigma=options.sigma)
        rows = None if options.new is None else new_rows(options, data)
        made = results.predict(
            rows,
            re_form=options.re_form,
            new_levels=options.new_levels,
            se=options.interval is None,
            interval=options.interval,
            level=options.level,
            ddf=options.ddf or "normal",
        )
        frame = made if rows is None else pd.concat([rows, made], axis=1)
    write(frame.to_csv(index=rows is None, index_label="row").rstrip(), options.out)
    return _code([results])


def explain(options: argparse.Namespace) -> int:
    """Print a model in words and as equations, without fitting it."""
    with warnings_in_words():
        model = model_of(options)
        text = str(explained(model.design, reml=not options.ml, sigma=options.sigma))
    write(text, options.out)
    return EXIT_OK


def _code(fits: list[MixedResults]) -> int:
    return EXIT_OK if all(fit.converged for fit in fits) else EXIT_NOT_CONVERGED


COMMANDS = {
    "anova": anova,
    "compare": sample,
    "datasets": datasets,
    "emmeans": emmeans,
    "explain": explain,
    "fit": fit,
    "gibbs": sample,
    "predict": predict,
    "report": write_report,
    "warm-up": warm_up,
}
"""The function of each command."""
