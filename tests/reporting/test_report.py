"""The page about a fit: complete, self-contained, in order, and true."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.cli import main
from mixedfit.reporting.html import figures, report_html
from mixedfit.reporting.html.findings import checks_of
from mixedfit.reporting.html.model_words import effects_in_words, shares_in_words

pytest.importorskip("matplotlib").use("Agg")

VOID = {"meta", "link", "img", "br", "wbr"}


class Page(HTMLParser):
    """What a browser and a screen reader find."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self.text = ""
        self.cells: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), ""))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            level, words = self.headings[-1]
            self.headings[-1] = (level, words + data)
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


SLEEP = mf.load_dataset("sleepstudy")


@lru_cache
def fitted(name: str) -> mf.MixedResults:
    if name == "slopes":
        return mf.lmm("Reaction ~ Days + (Days | Subject)", SLEEP).fit()
    if name == "singular":
        return mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()
    if name == "factor":
        return mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit(
            reml=False
        )
    if name == "linear":
        return mf.lmm("Reaction ~ Days", SLEEP).fit()
    return mf.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("Penicillin")).fit()


DRAWN = ("slopes", "linear")
"""Pages with their pictures, which are of all kinds; in the others they are left out, since drawing takes long."""


@lru_cache
def page(name: str) -> tuple[str, Page]:
    with pytest.MonkeyPatch.context() as patch:
        if name not in DRAWN:
            blank = b'<svg width="1pt" height="1pt"></svg>'
            patch.setattr(figures, "axes_svg", lambda *_: blank)
            patch.setattr(figures, "figure_svg", lambda *_: blank)
        text = report_html(fitted(name))
    return text, Page(text)


NAMES = ["slopes", "singular", "factor", "linear", "crossed"]


@pytest.mark.everyday(1)
@pytest.mark.parametrize("name", NAMES)
def test_report_must_need_nothing_from_elsewhere_and_run_nothing(name: str) -> None:
    text, found = page(name)
    assert not {"script", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in found.tags}
    for tag, attrs in found.tags:
        assert not any(key.startswith("on") for key in attrs), tag
        for key in ("src", "href", "action", "srcset", "data"):
            value = attrs.get(key)
            assert value is None or value.startswith(("data:", "#")), (tag, key)
    assert "url(" not in text
    assert "@import" not in text
    for image in found.all("img"):
        svg = base64.b64decode(str(image["src"]).split("base64,")[1]).decode("utf-8")
        assert svg.startswith("<svg")
        assert not re.findall(r'(?:href|src)="(?!#|data:)', svg)
        assert "<script" not in svg


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", NAMES)
def test_report_must_be_read_by_a_screen_reader(name: str) -> None:
    _, found = page(name)
    assert found.all("html") == [{"lang": "en"}]
    levels = [level for level, _ in found.headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(words.strip() for _, words in found.headings)
    assert all(len(str(image["alt"])) > 30 for image in found.all("img"))
    assert all(head.get("scope") in ("row", "col") for head in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(math["alttext"] for math in found.all("math"))
    targets = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    assert {str(link["href"])[1:] for link in found.all("a")} <= targets
    assert len(targets) == len([1 for _, attrs in found.tags if "id" in attrs])


def test_report_must_fit_a_phone() -> None:
    _, found = page("slopes")
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.all("meta")
    scrolled = [attrs for attrs in found.all("div") if attrs.get("class") == "scroll"]
    assert len(scrolled) == len(found.all("table")) + 1
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolled)


def test_report_must_show_the_numbers_of_the_fit() -> None:
    _, found = page("slopes")
    cells = " | ".join(found.cells).replace("−", "-")
    assert "251.41" in cells
    assert "3.26e-06" in cells
    low, high = fitted("slopes").conf_int(ddf="satterthwaite").loc["Days"]
    assert f"{low:.2f} to {high:.2f}" in cells
    assert "7.36 to 13.58" in cells
    assert "14.38 to 37.72" in cells
    assert "−0.48 to 0.69" in " ".join(found.cells)
    assert "The fit converged" in found.text


def test_report_must_say_that_a_fit_lies_on_the_boundary() -> None:
    text, found = page("singular")
    assert "converged, on the boundary" in found.text
    assert 'class="verdict note"' in text


@pytest.mark.usefixtures("undrawn")
def test_report_must_say_that_a_fit_failed() -> None:
    with pytest.warns(mf.ConvergenceWarning):
        fit = mf.lmm("Reaction ~ Days + (1 | Subject)", SLEEP).fit(control=mf.Control(max_evaluations=1))
    text = report_html(fit)
    assert "did not converge" in text
    assert "should not be reported" in text
    assert 'class="verdict bad"' in text


def test_report_must_test_the_terms_of_every_model_that_has_some() -> None:
    _, found = page("factor")
    assert any(cell == "recipe" for cell in found.cells)
    assert "Tests of the terms" in [words for _, words in found.headings]
    assert "Tests of the terms" in [words for _, words in page("slopes")[1].headings]


@pytest.mark.usefixtures("undrawn")
def test_report_must_escape_names_that_look_like_html() -> None:
    data = SLEEP.rename(columns={"Reaction": "<script>alert(1)</script>", "Days": "a<b & c"})
    data["Subject"] = data["Subject"].astype(str) + "<img src=x>"
    fit = mf.lmm('Q("<script>alert(1)</script>") ~ Q("a<b & c") + (1 | Subject)', data).fit()
    text = report_html(fit, title="</title><script>")
    assert "script" not in {tag for tag, _ in Page(text).tags}
    assert len(Page(text).all("img")) == len(re.findall(r"<img src=\"data:", text))


@pytest.mark.usefixtures("undrawn")
def test_report_must_be_written_where_it_was_asked_to(tmp_path: Path) -> None:
    path = mf.report(fitted("singular"), tmp_path / "out.html", title="Assay", profile=False)
    text = path.read_text(encoding="utf-8")
    assert "<h1>Assay</h1>" in text
    assert "Profile intervals were left out" in text
    with pytest.raises(mf.DataError, match="cannot write"):
        mf.report(fitted("linear"), tmp_path / "none" / "out.html", profile=False)
    with pytest.raises(mf.ModelError, match="expected True, False or 'auto'"):
        mf.report(fitted("singular"), path, profile="no")


def test_report_must_be_the_same_each_time() -> None:
    assert report_html(fitted("linear")) == page("linear")[0]


@pytest.mark.usefixtures("undrawn")
def test_command_must_write_a_report_and_refuse_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    assert main(["report", "Dyestuff", "Yield ~ 1 + (1 | Batch)", "--out", str(out), "--ml"]) == 0
    assert f"Written to {out}" in capsys.readouterr().out
    assert "maximum likelihood" in out.read_text(encoding="utf-8")
    bad = "Yield ~ __import__('os').system('true') + (1 | Batch)"
    assert main(["report", "Dyestuff", bad, "--out", str(tmp_path / "s.html")]) == 2
    assert not (tmp_path / "s.html").exists()
    assert main(["report", "Dyestuff", "Yield ~ 1 + (1 | Batch)", "--out", str(out), "--level", "95"]) == 2


def test_shares_must_be_those_of_the_variances() -> None:
    words = " ".join(shares_in_words(fitted("crossed")))
    table = fitted("crossed").varcorr["vcov"]
    for value in 100 * table / table.sum():
        assert f"{value:.1f}%" in words
    dyestuff = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    v = dyestuff.varcorr["vcov"]
    assert f"correlation of {v[0] / v.sum():.2f}" in " ".join(shares_in_words(dyestuff))
    (slopes,) = shares_in_words(fitted("slopes"))
    fixed, random = np.var(fitted("slopes")._fit.fixed_part, ddof=1), fitted("slopes")._fit.omega[0]
    z = np.column_stack([np.ones(180), SLEEP["Days"]])
    groups = np.einsum("ij,jk,ik->i", z, random, z).mean()
    total = fixed + groups + fitted("slopes").scale
    assert f"explains {100 * fixed / total:.1f}%" in slopes
    assert f"together {100 * (fixed + groups) / total:.1f}%" in slopes


def test_effects_must_be_read_only_where_a_coefficient_stands_alone() -> None:
    def read(formula: str) -> list[str]:
        fit = mf.lmm(formula, mf.load_dataset("cake")).fit()
        limits = pd.DataFrame({"lower": fit.params - 1, "upper": fit.params + 1})
        return effects_in_words(fit, limits, 0.9)

    (words,) = read("angle ~ recipe + temp + (1 | recipe:replicate)")
    assert words.startswith("One unit more of temp goes with angle 0.158 higher on average")
    assert "90% interval −0.842 to 1.16" in words
    assert "includes 0" in words
    assert read("angle ~ recipe * temp + (1 | recipe:replicate)") == []
    assert read("angle ~ temp + I(temp**2) + (1 | recipe:replicate)") == []


def test_checks_must_count_what_is_far() -> None:
    found = checks_of(fitted("slopes"))
    scaled = fitted("slopes").resid / fitted("slopes").sigma
    assert found.far == int((scaled.abs() > 3).sum()) == 3
    assert found.expected == pytest.approx(180 * 0.0027, rel=1e-3)
    assert found.farthest[0] == (str(scaled.abs().idxmax()), pytest.approx(scaled.abs().max()))
    assert "many more than the 0.49 expected of normal residuals" in found.sentences()[0]
    rng = np.random.default_rng(1)
    data: Any = pd.DataFrame(
        {"g": np.repeat(np.arange(200), 20), "y": rng.integers(1, 6, 4000).astype(float)}
    )
    words = checks_of(mf.lmm("y ~ 1 + (1 | g)", data).fit()).sentences()
    assert "far fewer than the 10.8 expected" in words[0]
    assert "only 5 different values" in words[-1]


def test_report_must_say_that_it_wants_a_fit(tmp_path: Path) -> None:
    with pytest.raises(mf.ModelError, match="was given an int; expected a fit"):
        mf.report(3, tmp_path / "x.html")  # type: ignore[arg-type]
