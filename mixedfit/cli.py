"""The command line: ``mixedfit fit|gibbs|compare|report DATA FORMULA`` and ``mixedfit datasets``."""

from __future__ import annotations

import argparse
import html as markup
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from .core.datasets import dataset_names, load_dataset
from .core.errors import DataError, MixedfitError, nearest
from .core.reading.files import read
from .core.version import __version__
from .formula.safety import check_is_plain
from .model.fit_and_posterior import compare
from .model.lmm import LinearMixedModel, lmm
from .model.results import MixedResults
from .plots.style import pyplot
from .reporting.html import report
from .reporting.summary import Summary

__all__ = ["main"]

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".eps", ".ps", ".tif", ".tiff", ".webp")
"""Endings of files that matplotlib writes."""

READING = ("sep", "decimal", "encoding", "na", "skip", "sheet")
"""Options of `read`."""

EXIT_OK, EXIT_NOT_CONVERGED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mixedfit",
        description="Fit linear mixed models from lme4 formulas.",
        epilog="Exit codes: 0 converged, 1 not converged, 2 bad input, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"mixedfit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fit = commands.add_parser(
        "fit",
        help="fit a model and print its summary",
        description="Fit a linear mixed model and print its summary.",
        epilog='Example: mixedfit fit sleepstudy "Reaction ~ Days + (Days | Subject)"',
    )
    _add_model(fit)
    fit.add_argument("--correlation", action="store_true", help="print the correlation of the fixed effects")
    fit.add_argument(
        "--format",
        choices=("text", "json", "html"),
        help="how to print: text unless the file of --out ends in .json or .html",
    )
    fit.add_argument("--out", metavar="FILE", help="write to a file instead of the terminal")
    _add_report(commands)
    _add_sampling(commands)
    commands.add_parser("datasets", help="list the data sets of the package")
    commands.add_parser(
        "warm-up",
        help="compile the numerical code now, as for the image of a container",
        description="Compile the numerical code of common analyses and cache it on disk, about a minute's work.",
    )
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose data and model."""
    parser.add_argument(
        "data", help="a file (csv, xlsx, sav, dta, rds, parquet …), or the name of a data set of the package"
    )
    parser.add_argument("formula", help="an lme4 formula of columns, numbers and plain transforms, in quotes")
    parser.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    parser.add_argument(
        "--weights", metavar="COLUMN", help="column of weights, Var(error) = sigma^2 / weight"
    )
    parser.add_argument(
        "--sigma", type=float, metavar="NUMBER", help="hold the residual standard deviation fixed"
    )
    parser.add_argument(
        "--factors", metavar="A,B", default="", help="columns to read as labels although they hold numbers"
    )
    _add_reading(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options of `read`."""
    group = parser.add_argument_group("the file", "Found in the file unless they are given.")
    group.add_argument("--sep", metavar="MARK", help="separator of values: one character, tab or space")
    group.add_argument("--decimal", choices=(".", ","), help="decimal mark")
    group.add_argument("--encoding", metavar="NAME", help="encoding of text, such as latin-1")
    group.add_argument(
        "--na",
        metavar="MARK",
        action="append",
        help="a value that is missing, instead of NA, . and the like; repeatable",
    )
    group.add_argument(
        "--skip", type=int, default=0, metavar="N", help="lines above the names of the columns"
    )
    group.add_argument("--sheet", metavar="NAME", help="sheet of a workbook, by name or position from 0")


def _add_report(commands: Any) -> None:
    """Add the command that writes a page."""
    page = commands.add_parser(
        "report",
        help="fit a model and write a page about it",
        description="Fit a linear mixed model and write one HTML page: the model, tables, intervals, pictures.",
        epilog='Example: mixedfit report sleepstudy "Reaction ~ Days + (Days | Subject)" --out report.html',
    )
    _add_model(page)
    page.add_argument("--out", metavar="FILE", default="report.html", help="the file to write (report.html)")
    page.add_argument("--title", metavar="TEXT", help="heading of the page")
    page.add_argument(
        "--level", type=float, default=0.95, metavar="NUMBER", help="coverage of intervals (0.95)"
    )
    page.add_argument(
        "--profile",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether to compute profile intervals; auto: if that takes less than about 20 seconds",
    )


def _add_sampling(commands: Any) -> None:
    """Add the commands that sample a posterior under the default priors."""
    for name, help_text in (
        ("gibbs", "sample the posterior under default priors and print its table"),
        ("compare", "print the REML fit and the posterior under default priors side by side"),
    ):
        command = commands.add_parser(
            name,
            help=help_text,
            description=f"{help_text[0].upper()}{help_text[1:]}. Other priors can be given in Python.",
            epilog=f'Example: mixedfit {name} sleepstudy "Reaction ~ Days + (Days | Subject)" --seed 1',
        )
        command.add_argument("data", help="as for fit")
        command.add_argument("formula", help="as for fit")
        command.add_argument(
            "--weights", metavar="COLUMN", help="column of weights, Var(error) = sigma^2 / weight"
        )
        command.add_argument("--factors", metavar="A,B", default="", help="columns to read as labels")
        _add_reading(command)
        command.add_argument("--draws", type=int, default=1000, metavar="N", help="draws kept of each chain")
        command.add_argument("--tune", type=int, default=1000, metavar="N", help="sweeps thrown away before")
        command.add_argument("--chains", type=int, default=4, metavar="N")
        command.add_argument("--seed", type=int, metavar="N", help="makes the draws the same again")
        command.add_argument(
            "--out",
            metavar="FILE",
            help="write to a file instead of the terminal; .json or .html choose the format",
        )
        if name == "compare":
            command.add_argument(
                "--bootstrap", action="store_true", help="bootstrap intervals beside Wald and profile"
            )
            command.add_argument(
                "--plot", metavar="FILE", help="draw them side by side: a file such as side.png, .svg or .pdf"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    options = _parser().parse_args(arguments)
    try:
        commands = {
            "datasets": _datasets,
            "fit": _fit,
            "report": _report,
            "gibbs": _sample,
            "compare": _sample,
            "warm-up": _warm_up,
        }
        code = commands[options.command](options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        print(f"mixedfit: cannot write the output: {error.strerror or error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except MixedfitError as error:
        print(f"mixedfit: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("mixedfit: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _datasets(_: argparse.Namespace) -> int:
    for name in dataset_names():
        frame = load_dataset(name)
        print(f"{name:<18}{len(frame):>6} rows   {', '.join(map(str, frame.columns))}")
    return EXIT_OK


def _warm_up(_: argparse.Namespace) -> int:
    from mixedfit.model.warm_up import warm_up

    for name in warm_up():
        print(f"compiled: {name}", flush=True)
    return EXIT_OK


def _fit(options: argparse.Namespace) -> int:
    with _warnings_in_words():
        results = _fitted(options)
        summary = results.summary(correlation=options.correlation)
    _write(_rendered(summary, options.format or _format_of(options.out)), options.out)
    return EXIT_OK if results.converged else EXIT_NOT_CONVERGED


def _report(options: argparse.Namespace) -> int:
    with _warnings_in_words():
        results = _fitted(options)
        wanted: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}
        path = report(
            results, options.out, title=options.title, level=options.level, profile=wanted[options.profile]
        )
    print(f"{results.convergence.message}\nWritten to {path}")
    return EXIT_OK if results.converged else EXIT_NOT_CONVERGED


def _sample(options: argparse.Namespace) -> int:
    """Print a posterior, or a fit beside it."""
    picture = getattr(options, "plot", None)
    if picture is not None:
        _check_picture(picture)
    with _warnings_in_words():
        model = _model(options)
        settings = {"draws": options.draws, "tune": options.tune, "chains": options.chains}
        posterior = model.gibbs(seed=options.seed, **settings)
        how = _format_of(options.out)
        if options.command == "gibbs":
            facts = {
                "formula": posterior.design.formula.source,
                "chains": posterior.chains,
                "draws": posterior.draws,
                "tune": posterior.tune,
                "priors": list(posterior.priors),
                "warnings": list(posterior.warnings),
            }
            text = str(posterior)
            _write(text if how == "text" else _table(posterior.summary(), facts, text, how), options.out)
        else:
            methods: list[Any] = ["wald", "profile", *(["boot"] if options.bootstrap else [])]
            side = compare(model.fit(), posterior, methods=methods, seed=options.seed)
            text = str(side)
            _write(
                text if how == "text" else _table(side.table, {"notes": list(side.notes)}, text, how),
                options.out,
            )
            if picture is not None:
                side.plot().savefig(picture)
                print(f"Picture written to {picture}", file=sys.stderr)
    return EXIT_NOT_CONVERGED if posterior.warnings else EXIT_OK


def _check_picture(path: str) -> None:
    """Refuse a picture that could not be written, before anything is sampled."""
    pyplot()
    if Path(path).suffix.lower() not in PICTURES:
        raise DataError(f"--plot names {path!r}; expected a file that ends in {', '.join(PICTURES)}.")
    if not Path(path).resolve().parent.is_dir():
        raise DataError(f"--plot names {path!r}, but there is no folder {str(Path(path).parent)!r}.")


def _fitted(options: argparse.Namespace) -> MixedResults:
    return _model(options).fit(reml=not options.ml, sigma=options.sigma)


def _model(options: argparse.Namespace) -> LinearMixedModel:
    data = read_data(options.data, **{name: getattr(options, name) for name in READING})
    factors = [name.strip() for name in options.factors.split(",") if name.strip()]
    check_is_plain(options.formula, [str(c) for c in data.columns])
    for name in factors:
        if name not in data.columns:
            raise DataError(
                f"--factors names {name!r}, which is not a column. {nearest(name, data.columns)}".rstrip()
            )
        data[name] = data[name].astype("category")
    return lmm(options.formula, data, weights=options.weights)


@contextmanager
def _warnings_in_words() -> Iterator[None]:
    """Print warnings as sentences after the output, unless an error is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"mixedfit: {warning.message}", file=sys.stderr)


def _format_of(out: str | None) -> str:
    """Return the format that a file's name asks for."""
    suffix = Path(out).suffix.lower() if out else ""
    return {".json": "json", ".html": "html", ".htm": "html"}.get(suffix, "text")


def read_data(source: str, **options: Any) -> pd.DataFrame:
    """Return the data of a file, or a data set of the package; options as in `mixedfit.read`.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    """
    if not Path(source).exists():
        if source in dataset_names():
            return load_dataset(source)
        advice = [nearest(source, dataset_names()), "'mixedfit datasets' lists those that do."]
        raise DataError(f"no file {source!r}, and no data set of that name. {' '.join(filter(None, advice))}")
    return read(source, **options)


def _rendered(summary: Summary, how: str) -> str:
    if how == "json":
        return summary.to_json()
    if how == "html":
        return _page(summary._repr_html_())
    return str(summary)


def _page(body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>mixedfit</title>'
        "<style>body{font-family:system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse;margin:1em 0}caption{text-align:left;font-weight:bold}"
        "th,td{padding:.2em .6em;border-bottom:1px solid #ccc}</style></head>\n"
        f"<body>{body}</body></html>"
    )


def _table(table: pd.DataFrame, facts: dict[str, Any], text: str, how: str) -> str:
    """Return a table of parameters with further facts as JSON, or the printed text as an HTML page."""
    if how == "html":
        return _page(f"<pre>{markup.escape(text)}</pre>")
    rows = {str(name): {str(k): _number(v) for k, v in row.items()} for name, row in table.iterrows()}
    return json.dumps({**facts, "parameters": rows}, indent=2, ensure_ascii=False, allow_nan=False)


def _number(value: Any) -> Any:
    """Return a value as JSON has it; what is not finite becomes null."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _write(text: str, out: str | None) -> None:
    if out is None:
        print(text)
        return
    try:
        Path(out).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from None
