"""What notebooks show: every table as HTML, with escaped text and the numbers of the printed record."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.notebook import NotebookTable

ODD = "<script>alert('x')</script> & \"q\""


@lru_cache
def data() -> pd.DataFrame:
    table = mf.load_dataset("cake")
    return table.assign(recipe=table["recipe"].astype(str).replace("A", ODD), temp=table["temp"] / 10.0)


@lru_cache
def fit(reml: bool = True) -> Any:
    return mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", data()).fit(reml=reml)


@lru_cache
def posterior() -> Any:
    model = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", data())
    return model.gibbs(seed=1, draws=200, tune=100, chains=2)


@lru_cache
def null() -> Any:
    return mf.lmm("angle ~ recipe + (1 | recipe:replicate)", data()).fit()


def null_model() -> Any:
    return mf.lmm("angle ~ 1 + (1 | replicate)", data())


def power() -> Any:
    plan = pd.DataFrame({"g": [s for s in "abcdef" for _ in range(4)], "x": list(range(4)) * 6})
    params = {"(Intercept)": 1.0, "x": 0.5, "sd_(Intercept)|g": 1.0, "sigma": 1.0}
    return mf.power("y ~ x + (1 | g)", plan, params, "x", n=20, seed=1)


RECORDS: dict[str, Callable[[], Any]] = {
    "fit": fit,
    "summary": lambda: fit().summary(correlation=True),
    "anova": lambda: fit().anova(),
    "anova of models": lambda: mf.anova(null(), fit(), refit=True),
    "ranova": lambda: fit().ranova(),
    "means": lambda: fit().emmeans("recipe"),
    "contrasts": lambda: fit().emmeans("recipe").contrasts(),
    "slopes": lambda: fit().emtrends("recipe", "temp"),
    "joint tests": lambda: fit().joint_tests(),
    "effect sizes": lambda: fit().emmeans("recipe").effect_sizes(),
    "t tests": lambda: fit().t_test("temp = 1"),
    "F test": lambda: fit().f_test("temp"),
    "Wald test": lambda: fit().wald_test("temp"),
    "chi-square test": lambda: fit().wald_test("temp", use_f=False),
    "profile": lambda: fit().profile(["temp", ".sigma"]),
    "bootstrap": lambda: fit().bootstrap(30, seed=1),
    "bootstrap test": lambda: mf.parametric_bootstrap_test(null(), fit(), n=20, seed=1),
    "power": power,
    "models": lambda: mf.compare_models([null(), fit()]),
    "table for a paper": lambda: mf.table([null(), fit()]),
    "influence": lambda: fit().diagnostics.influence("recipe:replicate"),
    "fit and posterior": lambda: mf.compare(fit(), posterior()),
    "posterior": posterior,
    "priors": lambda: posterior().priors,
    "draws": lambda: posterior().derive("temp"),
    "calibration": lambda: null_model().calibration(simulations=10, draws=9, seed=1),
    "loo": lambda: posterior().loo(),
    "difference of loo": lambda: posterior().loo() - posterior().loo(),
    "evidence": lambda: posterior().log_evidence(),
    "Bayes factor": lambda: mf.bayes_factor(posterior(), posterior()),
    "Savage-Dickey ratio": lambda: posterior().savage_dickey("temp"),
    "sensitivity": lambda: mf.lmm("angle ~ temp + (1 | recipe:replicate)", data()).sensitivity(
        {"a": {}, "b": {"temp": mf.priors.Normal(0, 1)}}, "temp > 0", seed=1, draws=200
    ),
    "power scaling": lambda: posterior().power_scaling(),
    "predictive check": lambda: posterior().check(seed=1, draws=50),
}


class Reader(HTMLParser):
    """Tags in order, balanced or not, and the text of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in ("br", "img"):
            self.open.append(tag)
        if tag in ("td", "th", "caption", "p"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    reader.cells = [cell.strip() for cell in reader.cells]
    return reader


@pytest.mark.everyday(6)
@pytest.mark.parametrize("name", RECORDS)
def test_notebooks_must_show_every_record_as_tables(name: str) -> None:
    record = RECORDS[name]()
    found = read(record._repr_html_())
    assert "table" in found.tags
    assert "script" not in found.tags  # labels are text
    assert isinstance(record, NotebookTable | mf.MixedResults)
    numbers = [cell for cell in found.cells if re.fullmatch(r"[−<>]?\s?[\d.,e−∞-]+", cell.strip())]
    assert len(numbers) >= (1 if name != "priors" else 0)
    if ODD in str(record):
        assert any(ODD in cell for cell in found.cells)


def printed(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", text))


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    "name", ["profile", "bootstrap", "posterior", "draws", "loo", "predictive check", "power", "models"]
)
def test_notebooks_must_show_the_printed_numbers(name: str) -> None:
    record = RECORDS[name]()
    shown = printed(" ".join(read(record._repr_html_()).cells))
    assert printed(str(record)) <= shown


def test_notebook_of_a_type_must_say_which_hypotheses_are_tested() -> None:
    for kind, numeral in ((1, "Type I "), (2, "Type II "), (3, "Type III ")):
        cells = read(fit().anova(type=kind)._repr_html_()).cells
        assert any(cell.startswith(numeral) for cell in cells)
        assert any("Satterthwaite" in cell for cell in cells)


def test_notebook_of_influence_must_show_the_most_influential_cases_only() -> None:
    record = fit().diagnostics.influence()
    html = record._repr_html_()
    assert html.count("<tr>") == 11
    assert str(record.top(1).index[0]) in read(html).cells


def test_priors_must_be_a_table_of_parameters_and_distributions() -> None:
    statements = posterior().priors
    assert isinstance(statements, tuple)
    cells = read(statements._repr_html_()).cells
    for text in statements:
        parameter, _, prior = text.partition(" ~ ")
        assert parameter in cells or text in cells
        assert prior in cells or text in cells


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_tables_must_fit_a_notebook_page(tmp_path: Path) -> None:
    """All cells are drawn, and no table is empty or wider than a screen of 1,200 pixels."""
    parts = [f"<section>{RECORDS[name]()._repr_html_()}</section>" for name in RECORDS if name != "models"]
    script = (
        "document.title = [...document.querySelectorAll('table')].map(t => {"
        "const r = t.getBoundingClientRect(); return Math.round(r.width) + 'x' + Math.round(r.height)}).join(' ');"
        "document.body.dataset.sizes = document.title"
    )
    page = tmp_path / "page.html"
    body = "\n".join(parts)
    page.write_text(
        f"<!doctype html><meta charset='utf-8'><body style='font:13px sans-serif'>{body}<script>{script}</script>",
        encoding="utf-8",
    )
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1200,900",
        "--dump-dom",
    ]
    out = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-sizes="([^"]*)"', out.stdout)
    assert found
    sizes = np.array([[int(v) for v in one.split("x")] for one in found[1].split()])
    assert len(sizes) == body.count("<table>")
    assert sizes.min() > 20
    assert sizes[:, 0].max() < 1200
