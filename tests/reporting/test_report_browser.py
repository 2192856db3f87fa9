"""The page in a real browser: every picture shown, nothing fetched, no script needed, no wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mixedfit as mf
from mixedfit.reporting.html.page import POLICY

pytest.importorskip("matplotlib").use("Agg")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium")]

PROBE = """<script>
const found = { refused: [], errors: [] };
addEventListener("securitypolicyviolation", e => found.refused.push(e.blockedURI + " " + e.violatedDirective));
addEventListener("error", e => found.errors.push(String(e.message || e.target.src || e.target.href)), true);
addEventListener("load", () => setTimeout(() => {
  const width = e => Math.round(e.getBoundingClientRect().width);
  found.images = [...document.images].map(i => [i.complete, i.naturalWidth, width(i)]);
  found.wide = document.documentElement.scrollWidth; found.window = innerWidth;
  found.tables = [...document.querySelectorAll("table")].map(t => t.parentElement)
    .map(e => [e.getAttribute("aria-label"), e.scrollWidth - e.clientWidth]);
  found.math = [...document.querySelectorAll("math")].map(m => Math.round(m.getBoundingClientRect().height));
  found.requests = performance.getEntriesByType("resource").map(r => r.name.slice(0, 40));
  const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(found);
  document.body.append(out);
}, 300));
</script>"""


def in_browser(path: Path, width: int, tmp_path: Path) -> dict[str, Any]:
    """Return what a probe finds in a copy of the page, under the page's own policy but for the probe."""
    text = path.read_text(encoding="utf-8")
    assert POLICY in text
    text = text.replace(POLICY, POLICY + "; script-src 'unsafe-inline'").replace(
        "<title>", PROBE + "<title>", 1
    )
    frame = tmp_path / "copy.html"
    frame.write_text(text, encoding="utf-8")
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
               frame.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe is not None
    assert "CONSOLE" not in done.stderr
    return dict(json.loads(html.unescape(probe.group(1))))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    sleep = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    ratings = mf.lmm("y ~ service + (1 | s) + (1 | d) + (1 | dept)", mf.load_dataset("InstEval")).fit()
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    draws = model.gibbs(draws=500, chains=2, seed=1)
    names = {"Reaction": "Reaktionszeit (ms)", "Days": "days.without.enough.sleep", "Subject": "subject no."}
    data = mf.load_dataset("sleepstudy").rename(columns=names)
    data["kind of person.measured"] = (
        data["subject no."].isin(["308", "309", "310", "330"]).map({True: "a", False: "b"})
    )
    odd = mf.lmm(
        "Q('Reaktionszeit (ms)') ~ Q('days.without.enough.sleep') * Q('kind of person.measured')"
        " + (Q('days.without.enough.sleep') | Q('subject no.'))",
        data,
    ).fit()
    return {
        "sleepstudy": mf.report(sleep, folder / "sleepstudy.html"),
        "odd": mf.report(odd, folder / "odd.html"),
        "posterior": mf.report(draws, folder / "posterior.html"),
        "InstEval": mf.report(ratings, folder / "InstEval.html"),
    }


@pytest.mark.parametrize("width", [500, 1200])
@pytest.mark.parametrize("name", ["sleepstudy", "odd", "InstEval", "posterior"])
def test_page_must_show_its_pictures_and_ask_for_nothing(
    pages: dict[str, Path], name: str, width: int, tmp_path: Path
) -> None:
    found = in_browser(pages[name], width, tmp_path)
    assert found["refused"] == []
    assert found["errors"] == []
    assert all(name.startswith("data:") for name in found["requests"])
    assert len(found["images"]) >= 6
    assert all(complete and natural > 100 and shown > 200 for complete, natural, shown in found["images"])
    assert found["wide"] <= found["window"]
    assert [beyond for _, beyond in found["tables"]] == [0] * len(found["tables"])
    assert all(height > 10 for height in found["math"])
