"""Commands beside `fit`: tests, means, predictions, explanations; what Python gives is what they print."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.cli import main
from mixedfit.reporting.explain import explain

CAKE = "angle ~ recipe * temperature + (1 | recipe:replicate)"
GROWTH = "distance ~ Sex * age"
SLEEP = "Reaction ~ Days + (Days | Subject)"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def cake(formula: str = CAKE) -> Any:
    return mf.lmm(formula, mf.load_dataset("cake")).fit()


def growth(residual: Any) -> Any:
    data = mf.load_dataset("Orthodont")
    data["age"] = data["age"].astype("category").cat.as_ordered()
    return mf.lmm(GROWTH, data, residual=residual).fit()


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["anova", "cake", CAKE], lambda: cake().anova()),
        (
            ["anova", "cake", CAKE, "--type", "2", "--ddf", "kenward-roger"],
            lambda: cake().anova(type=2, ddf="kenward-roger"),
        ),
        (["emmeans", "cake", CAKE, "recipe"], lambda: cake().emmeans("recipe")),
        (
            ["emmeans", "cake", CAKE, "~ recipe | temperature"],
            lambda: cake().emmeans("~ recipe | temperature"),
        ),
        (
            ["emmeans", "cake", CAKE, "recipe", "--by", "temperature", "--level", "0.9"],
            lambda: cake().emmeans("recipe", by="temperature", level=0.9),
        ),
        (
            ["emmeans", "cake", CAKE, "recipe", "--contrasts", "consec", "--adjust", "holm"],
            lambda: cake().emmeans("recipe").contrasts("consec", "holm"),
        ),
        (
            ["fit", "Orthodont", GROWTH, "--factors", "age", "--residual", "us(age | Subject)"],
            lambda: growth(mf.residuals.Unstructured("age", "Subject")).summary(),
        ),
        (
            [
                "anova",
                "Orthodont",
                GROWTH,
                "--residual",
                "AR1(age, Subject) * VarIdent(Sex)",
                "--factors=age",
            ],
            lambda: growth(mf.residuals.AR1("age", "Subject") * mf.residuals.VarIdent("Sex")).anova(),
        ),
    ],
)
def test_command_must_print_what_python_prints(
    arguments: list[str], expected: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    assert out == f"{expected()}\n"


def test_several_formulas_must_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    smaller = "angle ~ temperature + (1 | recipe:replicate)"
    code, out, _ = run(capsys, "anova", "cake", CAKE, smaller)
    assert code == 0
    assert out == f"{mf.anova(cake(), cake(smaller))}\n"
    assert run(capsys, "anova", "cake", CAKE, smaller, "--type", "2")[0] == 2


@pytest.mark.parametrize("ending", ["json", "csv", "html"])
def test_file_must_have_the_format_of_its_ending(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"tests.{ending}"
    assert run(capsys, "anova", "cake", CAKE, "--out", str(path))[:2] == (0, "")
    text, table = path.read_text(encoding="utf-8"), cake().anova().table
    if ending == "html":
        assert "<!doctype html>" in text
        return
    found = (
        pd.DataFrame(json.loads(text)["rows"]) if ending == "json" else pd.read_csv(io.StringIO(text))
    ).set_index("term")
    np.testing.assert_allclose(found[table.columns].to_numpy(float), table.to_numpy(float), rtol=1e-8)


def test_intervals_and_degrees_of_freedom_must_be_those_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(
        capsys, "fit", "sleepstudy", SLEEP, "--ci", "profile", "--level", "0.9", "--ddf", "kenward-roger"
    )
    assert "90% profile intervals:" in out
    assert "Degrees of freedom: Kenward-Roger" in out
    fit = mf.lmm(SLEEP, mf.load_dataset("sleepstudy")).fit()
    low = fit.conf_int(0.9, "profile").loc["Days", "lower"]
    assert f"{low:.2f}" in out.split("fixed effect Days")[1]
    _, out, _ = run(
        capsys, "fit", "sleepstudy", SLEEP, "--ci", "wald", "--ddf", "kenward-roger", "--format", "json"
    )
    found = json.loads(out)["intervals"]["parameters"]["fixed effect Days"]["lower"]
    assert found == pytest.approx(fit.conf_int(ddf="kenward-roger").loc["Days", "lower"])
    assert json.loads(out)["intervals"]["parameters"]["residual SD"]["lower"] is None


def test_infinite_numbers_must_be_text_in_the_json_of_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Degrees of freedom of normal tests. Rival: null, which stands for a missing number."""
    out = tmp_path / "means.json"
    assert run(capsys, "emmeans", "cake", CAKE, "recipe", "--ddf", "normal", "--out", str(out))[0] == 0
    assert {row["df"] for row in json.loads(out.read_text())["rows"]} == {"Infinity"}


def test_held_sigma_must_be_that_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    """Rival: σ is estimated, 25.6."""
    fit = mf.lmm(SLEEP, mf.load_dataset("sleepstudy")).fit(sigma=40.0)
    assert run(capsys, "fit", "sleepstudy", SLEEP, "--sigma", "40")[1] == f"{fit.summary()}\n"
    table = fit.anova().table["statistic"].iloc[0]
    assert f"{table:.2f}" in run(capsys, "anova", "sleepstudy", SLEEP, "--sigma", "40")[1]
    _, out, _ = run(capsys, "predict", "sleepstudy", SLEEP, "--sigma", "40")
    np.testing.assert_allclose(pd.read_csv(io.StringIO(out))["mean"], fit.predict())
    assert "held at 40" in " ".join(run(capsys, "explain", "sleepstudy", SLEEP, "--sigma", "40")[1].split())


def test_limits_of_predictions_must_have_the_level_and_degrees_of_freedom_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rivals: 95%; normal quantiles."""
    fit = mf.lmm(SLEEP, mf.load_dataset("sleepstudy")).fit()
    options = ("--interval", "confidence", "--level", "0.8", "--ddf", "satterthwaite")
    _, out, _ = run(capsys, "predict", "sleepstudy", SLEEP, *options)
    expected = fit.predict(interval="confidence", level=0.8, ddf="satterthwaite")
    found = pd.read_csv(io.StringIO(out))
    np.testing.assert_allclose(found[["lower", "upper"]], expected[["lower", "upper"]], rtol=1e-8)


def test_predictions_must_be_written_beside_new_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.csv"
    new.write_text("Days;Subject\n10,5;308\n3,0;999\n")
    options = [
        "--new",
        str(new),
        "--new-levels",
        "marginal",
        "--interval",
        "prediction",
        "--factors",
        "Subject",
    ]
    code, out, err = run(capsys, "predict", "sleepstudy", SLEEP, *options)
    assert code == 0
    assert "decimal comma" in err
    found = pd.read_csv(io.StringIO(out))
    fit = mf.lmm(SLEEP, mf.load_dataset("sleepstudy")).fit()
    rows = {"Days": [10.5, 3.0], "Subject": ["308", "999"]}
    expected = fit.predict(rows, new_levels="marginal", interval="prediction")
    np.testing.assert_allclose(found[["mean", "lower", "upper"]], expected[["mean", "lower", "upper"]])
    _, out, _ = run(capsys, "predict", "sleepstudy", SLEEP, "--re-form", "none")
    frame = pd.read_csv(io.StringIO(out))
    np.testing.assert_allclose(frame["mean"], fit.predict(re_form="none"))
    assert list(frame.columns) == ["row", "mean", "se"]


@pytest.mark.parametrize(
    "arguments",
    [
        [
            "anova",
            "sleepstudy",
            SLEEP,
            "Reaction ~ I(__import__('os').system('touch owned')) + (1 | Subject)",
        ],
        ["explain", "sleepstudy", "Reaction ~ I(__import__('os').system('touch owned')) + (1 | Subject)"],
        ["emmeans", "sleepstudy", SLEEP, "__import__('os').system('touch owned')"],
        ["predict", "sleepstudy", "Reaction ~ I(open('owned', 'w')) + (1 | Subject)"],
    ],
)
def test_commands_must_not_run_what_they_are_given(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, *arguments)[0] == 2
    assert not (tmp_path / "owned").exists()


def test_names_of_columns_must_not_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    name = "__import__('os').system('touch owned')"
    data = mf.load_dataset("sleepstudy").rename(columns={"Days": name})
    data.to_csv(path, index=False)
    code, _, _ = run(capsys, "predict", str(path), f"Reaction ~ `{name}` + (1 | Subject)")
    assert not Path("owned").exists()
    assert code in (0, 2)


@pytest.mark.parametrize(
    ("formula", "says", "lines"),
    [
        (
            SLEEP,
            "2 fixed effects, 3 parameters of random effects and σ",
            [
                "Reaction[i] = β0 + β1 Days[i]",
                "+ b0[Subject[i]] + b1[Subject[i]] Days[i]",
                "(b0, b1) of each Subject ~ N(0, Ω), Ω any covariance matrix",
                "ε[i] ~ N(0, σ²)",
            ],
        ),
        ("Reaction ~ Days + (Days || Subject)", "which are uncorrelated", ["Ω diagonal"]),
        ("Reaction ~ 0 + Days + (1 | Subject)", "There is no intercept", ["Reaction[i] = β0 Days[i]", "ω²"]),
        ("log(Reaction) ~ poly(Days, 9) + (1 | Subject)", "10 fixed effects", ["y = X β + Z b + ε"]),
    ],
)
def test_model_must_be_explained_without_a_fit(
    formula: str, says: str, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "explain", "sleepstudy", formula)
    assert (code, err) == (0, "")
    assert says in " ".join(out.split())
    assert all(line in out for line in lines)
    assert max(map(len, out.splitlines())) <= 100
    assert out == f"{mf.lmm(formula, mf.load_dataset('sleepstudy')).explain()}\n"


def test_explanation_must_name_ml_weights_and_a_residual_structure() -> None:
    data = mf.load_dataset("sleepstudy").assign(w=2.0)
    model = mf.lmm("Reaction ~ Days + (1 | Subject) + offset(Days)", data, weights="w")
    text = str(model.explain(False, sigma=1.0))
    assert "by maximum likelihood" in text
    assert "is held at 1" in text
    assert "σ² / weight[i]" in text
    assert "+ offset[i] + ε[i]" in text
    assert "and σ" not in text.split("To be estimated")[1]
    structured = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject"))
    words = " ".join(explain(structured.design).words)
    assert (
        "Residuals within a level of Subject have a first-order autoregressive correlation over Days."
        in words
    )
    assert "σ and 1 parameter of the residual structure" in words
    expected = "ε ~ N(0, σ² R), R = AR1(time='Days', group='Subject')"
    assert explain(structured.design).equations[-1] == expected


def test_labels_must_stand_in_documents_and_text_but_not_in_numbers_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["emmeans", "cake", CAKE, "recipe", "--label", "recipe=Batter", "--label", "A = First"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "Batter" in shown
    assert "First" in shown
    assert "recipe" not in shown.replace("recipe:temperature", "")
    for ending, has in ((".html", True), (".docx", True), (".csv", False)):
        path = tmp_path / f"means{ending}"
        assert main([*command, "--out", str(path)]) == 0
        assert capsys.readouterr().err.strip() == f"Written to {path}"
        text = zipfile.ZipFile(path).read("word/document.xml") if ending == ".docx" else path.read_bytes()
        assert (b"Batter" in text) == has
    assert main([*command[:-2], "--label", "First"]) == 2
    assert "is not of the form NAME=TEXT" in capsys.readouterr().err
