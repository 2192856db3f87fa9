"""The files around the package: they parse, agree on version and dependencies, and name what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

import mixedfit

yaml = pytest.importorskip("yaml")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
RECIPE = ROOT / ".ci" / "conda-forge" / "recipe.yaml"
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "data/README.md",
         "benchmarks/README.md", "tests/README.md"]  # fmt: skip
PAGES += sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts
)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_version_must_be_the_same_wherever_it_is_written() -> None:
    assert PROJECT["version"] == mixedfit.__version__
    assert str(load(ROOT / "CITATION.cff")["version"]) == PROJECT["version"]
    assert load(RECIPE)["context"]["version"] == PROJECT["version"]


def test_citation_must_have_what_the_format_requires() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]


def test_recipe_must_require_what_the_package_requires() -> None:
    recipe = load(RECIPE)
    required = {
        line.replace(" ", "") for line in recipe["requirements"]["run"] if not line.startswith("python ")
    }
    assert required == set(PROJECT["dependencies"])
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    scripts = {f"{name} = {target}" for name, target in PROJECT["scripts"].items()}
    assert set(recipe["build"]["python"]["entry_points"]) == scripts


@pytest.mark.parametrize("path", FORMS, ids=lambda p: p.stem)
def test_issue_form_must_have_the_keys_of_a_form(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        assert part["type"] in {"textarea", "input", "dropdown", "checkboxes", "markdown"}
        assert part["attributes"]["label"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_workflow_must_have_jobs_with_steps_and_needs_that_exist(path: Path) -> None:
    workflow = load(path)
    assert True in workflow  # "on", as YAML 1.1 reads it
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] > 0
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        needs = job.get("needs", [])
        assert ({needs} if isinstance(needs, str) else set(needs)) <= set(workflow["jobs"])
    extras = re.findall(r'-e "\.\[([\w,]+)\]"', path.read_text(encoding="utf-8"))
    assert {name for group in extras for name in group.split(",")} <= set(PROJECT["optional-dependencies"])


def test_workflows_must_cover_systems_and_versions_and_publish_with_a_token_only() -> None:
    matrix = load(GITHUB / "workflows" / "tests.yml")["jobs"]["suite"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    publish = load(GITHUB / "workflows" / "release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")


def test_settings_of_services_must_name_files_that_exist() -> None:
    settings = load(ROOT / ".readthedocs.yaml")
    assert (ROOT / settings["sphinx"]["configuration"]).is_file()
    assert settings["python"]["install"][0]["extra_requirements"] == ["docs"]
    assert "docs" in PROJECT["optional-dependencies"]
    assert all(repo["hooks"] and repo["rev"] for repo in load(ROOT / ".pre-commit-config.yaml")["repos"])


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_must_lead_to_files_and_headings(name: str) -> None:
    page = ROOT / name
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if re.match(r"\w+:", target):
            continue
        path, _, heading = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{name} links to {target}"
        if heading and other.suffix == ".md":
            assert heading in anchors(other), f"{name} links to {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


API = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))


def test_reference_must_have_every_public_name() -> None:
    modules = {"distributions": mixedfit.distributions, "plots": mixedfit.plots, "priors": mixedfit.priors,
               "residuals": mixedfit.residuals}  # fmt: skip
    names = set(mixedfit.__all__) - set(modules)
    names |= set(modules["plots"].__all__)
    for name in ("distributions", "priors", "residuals"):
        assert f"currentmodule:: mixedfit.{name}" in API
    names |= set(modules["residuals"].__all__) - {"Product", "ResidualStructure"}
    names |= set(modules["priors"].__all__) - {
        "Prior",
        "VariancePrior",
        "CovariancePrior",
        "FixedPrior",
        "ResidualPrior",
    }
    assert sorted(names - set(re.findall(r"^   (\w+)$", API, re.MULTILINE))) == []
