"""Arguments of the commands."""

from __future__ import annotations

import argparse
from typing import Any

from mixedfit.core.version import __version__

from .parsing import HintingParser

__all__ = ["READING", "parser"]

READING = ("sep", "decimal", "encoding", "na", "skip", "sheet")
"""Options of `read`."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    main = HintingParser(
        prog="mixedfit",
        description="Fit linear mixed models from lme4 formulas.",
        epilog="Exit codes: 0 converged, 1 not converged, 2 bad input, 130 interrupted.",
    )
    main.add_argument("--version", action="version", version=f"mixedfit {__version__}")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
    _add_ddf(fit, none=True)
    fit.add_argument("--ci", choices=("wald", "profile", "boot"), help="print intervals of all parameters")
    _add_level(fit)
    fit.add_argument("--seed", type=int, metavar="N", help="makes the bootstrap of --ci boot the same again")
    fit.add_argument("--out", metavar="FILE", help="write to a file instead of the terminal")
    _add_tests(commands)
    _add_predict(commands)
    _add_explain(commands)
    _add_report(commands)
    _add_sampling(commands)
    commands.add_parser("datasets", help="list the data sets of the package")
    commands.add_parser(
        "warm-up",
        help="compile the numerical code now, as for the image of a container",
        description="Compile the numerical code of common analyses and cache it on disk, about a minute's work.",
    )
    return main


_DDF = ("satterthwaite", "kenward-roger", "residual", "normal")

_OUT = "write to a file instead of the terminal; .json, .html, .csv or .docx choose the format"


def _add_ddf(parser: argparse.ArgumentParser, *, none: bool = False) -> None:
    choices = (*_DDF, *(["none"] if none else []))
    parser.add_argument("--ddf", choices=choices, help="degrees of freedom of tests (by REML satterthwaite)")


def _add_level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--level", type=float, default=0.95, metavar="NUMBER", help="coverage of intervals (0.95)"
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label",
        metavar="NAME=TEXT",
        action="append",
        default=[],
        help="a text in place of a name of the data, in tables for documents and on pages; repeatable",
    )


def _add_tests(commands: Any) -> None:
    """Add the commands of F tests and of marginal means."""
    tests = commands.add_parser(
        "anova",
        help="F tests of the terms of a model, or likelihood-ratio tests of several models",
        description="Test each term of the fixed part of a model, or compare several nested models.",
        epilog='Example: mixedfit anova cake "angle ~ recipe * temperature + (1 | recipe:replicate)"',
    )
    _add_model(tests, several=True)
    tests.add_argument("--type", type=int, choices=(1, 2, 3), help="type of the F tests (3)")
    _add_ddf(tests)
    _add_labels(tests)
    tests.add_argument("--out", metavar="FILE", help=_OUT)
    means = commands.add_parser(
        "emmeans",
        help="marginal means of factors, and their contrasts",
        description="Print estimated marginal means, or contrasts of them.",
        epilog='Example: mixedfit emmeans Oats "yield ~ Variety + (1 | Block)" Variety --contrasts pairwise',
    )
    _add_model(means)
    means.add_argument("specs", help='the factors, as recipe or a,b or R\'s "~ a | b"')
    means.add_argument("--by", metavar="A,B", default="", help="factors within whose levels means are taken")
    means.add_argument("--contrasts", metavar="METHOD", help="such as pairwise, trt.vs.ctrl, consec, poly")
    means.add_argument("--adjust", metavar="METHOD", default="default", help="such as tukey, holm, none")
    means.add_argument(
        "--family",
        choices=("group", "all"),
        default="group",
        help="tests adjusted together: within --by, or all",
    )
    means.add_argument("--type", choices=("link", "response"), default="link", help="scale of the means")
    _add_ddf(means)
    _add_level(means)
    _add_labels(means)
    means.add_argument("--out", metavar="FILE", help=_OUT)


def _add_predict(commands: Any) -> None:
    """Add the command of predictions."""
    command = commands.add_parser(
        "predict",
        help="predictions of the rows of the data or of new ones, as CSV",
        description="Fit a model and write predictions with standard errors or intervals as CSV.",
        epilog='Example: mixedfit predict sleepstudy "Reaction ~ Days + (Days | Subject)" --interval prediction',
    )
    _add_model(command)
    command.add_argument(
        "--new", metavar="FILE", help="rows to predict, read as the data are; by default the data's"
    )
    command.add_argument(
        "--re-form",
        choices=("all", "none"),
        default="all",
        help="with all random effects, or the population's mean",
    )
    command.add_argument(
        "--new-levels",
        choices=("error", "population", "marginal"),
        default="error",
        help="levels that the data do not have: refused, effects of 0, or drawn at random",
    )
    command.add_argument(
        "--interval", choices=("confidence", "prediction"), help="limits of means or of new responses"
    )
    _add_ddf(command)
    _add_level(command)
    command.add_argument("--out", metavar="FILE", help="write to a file instead of the terminal")


def _add_explain(commands: Any) -> None:
    """Add the command that explains a model."""
    command = commands.add_parser(
        "explain",
        help="the model in words and as equations, without fitting it",
        description="Print a model in words and as equations, without fitting it.",
        epilog='Example: mixedfit explain sleepstudy "Reaction ~ Days + (Days | Subject)"',
    )
    _add_model(command)
    command.add_argument("--out", metavar="FILE", help="write to a file instead of the terminal")


def _add_model(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the arguments that choose data and model."""
    parser.add_argument(
        "data", help="a file (csv, xlsx, sav, dta, rds, parquet …), or the name of a data set of the package"
    )
    what = "an lme4 formula of columns, numbers and plain transforms, in quotes"
    if several:
        parser.add_argument("formulas", nargs="+", metavar="formula", help=f"{what}; several are compared")
    else:
        parser.add_argument("formula", help=what)
    parser.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    parser.add_argument(
        "--weights", metavar="COLUMN", help="column of weights, Var(error) = sigma^2 / weight"
    )
    _add_residual(parser)
    parser.add_argument(
        "--sigma", type=float, metavar="NUMBER", help="hold the residual standard deviation fixed"
    )
    parser.add_argument(
        "--factors", metavar="A,B", default="", help="columns to read as labels although they hold numbers"
    )
    parser.add_argument(
        "--expand",
        choices=("levels", "contrasts"),
        default="levels",
        help="what || makes of a factor: effects of its levels, or of its contrasts",
    )
    _add_reading(parser)


def _add_residual(parser: argparse.ArgumentParser) -> None:
    """Add the option of the residual covariance."""
    parser.add_argument(
        "--residual",
        metavar="STRUCTURE",
        help='covariance of residuals, such as "us(visit | subject)" or "AR1(week, id) * VarIdent(arm)"',
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options of `read`."""
    group = parser.add_argument_group("the file", "Found in the file unless they are given.")
    group.add_argument("--sep", metavar="MARK", help="separator of values: one character, tab or space")
    group.add_argument("--decimal", choices=(".", ","), metavar="MARK", help="decimal mark, . or ,")
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
    _add_labels(page)
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
        _add_residual(command)
        command.add_argument("--factors", metavar="A,B", default="", help="columns to read as labels")
        _add_reading(command)
        length = command.add_mutually_exclusive_group()
        length.add_argument("--draws", type=int, metavar="N", help="draws kept of each chain (1000)")
        length.add_argument(
            "--ess", type=float, metavar="N", help="draw until every parameter has N effective draws"
        )
        command.add_argument("--tune", type=int, default=1000, metavar="N", help="sweeps thrown away before")
        command.add_argument("--chains", type=int, default=4, metavar="N")
        command.add_argument("--seed", type=int, metavar="N", help="makes the draws the same again")
        command.add_argument(
            "--out",
            metavar="FILE",
            help="write to a file instead of the terminal; .json or .html choose the format",
        )
        command.add_argument("--report", metavar="FILE", help="write an HTML page too: priors, draws, checks")
        command.add_argument("--title", metavar="TEXT", help="heading of the page")
        command.add_argument(
            "--save", metavar="FILE", help="write the draws to a file for mixedfit.load in Python"
        )
        _add_labels(command)
        if name == "compare":
            command.add_argument(
                "--bootstrap", action="store_true", help="bootstrap intervals beside Wald and profile"
            )
            command.add_argument(
                "--plot", metavar="FILE", help="draw them side by side: a file such as side.png, .svg or .pdf"
            )
