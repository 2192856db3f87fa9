"""`report`: an HTML page about a fit, a posterior, or both side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.options import check_level
from mixedfit.core.other_programs import hinted
from mixedfit.estimation.fit import Fitted
from mixedfit.reporting.html.page import Section, report_html
from mixedfit.reporting.html.posterior_page import (
    comparison_section,
    posterior_html,
    posterior_sections,
    priors_section,
)

from .fit_and_posterior import compare
from .results import MixedResults

__all__ = ["report"]


@hinted
def report(
    result: Fitted | Posterior,
    path: str | Path,
    *,
    posterior: Posterior | None = None,
    title: str | None = None,
    level: float = 0.95,
    profile: bool | Literal["auto"] = "auto",
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write an HTML page about a fit or a posterior: the model, tables, intervals and checks, in plain words.

    The page is one file with its plots inside, without scripts or external resources. It suits phones and screen
    readers.

    Parameters
    ----------
    result : MixedResults or Posterior
        The page of a posterior has priors, quality of the draws, parameters, random effects, predictive checks and
        sensitivity to the priors.
    path : str or Path
        File to write; an existing file is replaced.
    posterior : Posterior, optional
        A posterior of the model of the fit `result`, for a section that compares both (see `mixedfit.compare`), and for
        the sections on its priors, parameters and draws.
    title : str, optional
        Title of the page; by default it names the response.
    level : float
        Coverage of the intervals, at least 0.5 and below 1.
    profile : {"auto", True, False}
        Whether to compute profile intervals; "auto" does if the estimated time is less than 20 seconds.
    labels : mapping of str to str, optional
        Texts in place of names in the title, tables, pictures and sentences for a paper, as in `mixedfit.table`. The
        description of the model keeps the names of the data.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    DataError
        If the file cannot be written.
    ModelError
        If matplotlib is not installed, an option is not valid, or `posterior` is of another model.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> mf.report(fit, "report.html")  # doctest: +SKIP
    PosixPath('report.html')
    >>> draws = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).gibbs(seed=1)
    >>> mf.report(draws, "posterior.html"), mf.report(fit, "both.html", posterior=draws)  # doctest: +SKIP
    (PosixPath('posterior.html'), PosixPath('both.html'))
    """
    out = Path(path)
    if not out.parent.is_dir():
        raise DataError(f"cannot write {out}: there is no folder {out.parent}. Create it first.")
    text = _text(result, posterior, title=title, level=level, profile=profile, labels=labels)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from None
    return out


def _text(
    result: Fitted | Posterior,
    posterior: Posterior | None,
    *,
    title: str | None,
    level: float,
    profile: bool | Literal["auto"],
    labels: Mapping[str, str] | None,
) -> str:
    """Return the page as HTML text."""
    if isinstance(result, Posterior):
        if posterior is not None:
            raise ModelError(
                "report was given two posteriors; give the fit first: report(fit, path, posterior=posterior)."
            )
        return posterior_html(result, title=title, level=level, labels=labels)
    more = (
        [] if posterior is None else _sections_of_both(result, posterior, check_level(level), profile, labels)
    )
    return report_html(result, title=title, level=level, profile=profile, labels=labels, more=more)


def _sections_of_both(
    fit: Fitted,
    posterior: Posterior,
    level: float,
    profile: bool | Literal["auto"],
    labels: Mapping[str, str] | None,
) -> list[Section]:
    """Return the comparison of a fit and a posterior, and the sections on the posterior."""
    own = fit if isinstance(fit, MixedResults) else MixedResults(fit)  # type: ignore[arg-type]
    compared = compare(
        own, posterior, level=level, methods=["wald"] if profile is False else ["wald", "profile"]
    )
    sections = [
        comparison_section(compared, labels),
        priors_section(posterior),
        *posterior_sections(posterior, level, labels),
    ]
    return [
        Section(
            f"posterior-{s.anchor}",
            s.title if i == 0 else f"Posterior: {s.title[0].lower()}{s.title[1:]}",
            s.body,
        )
        for i, s in enumerate(sections)
    ]
