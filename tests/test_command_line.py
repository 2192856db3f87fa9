"""The command line: real fits, exit codes, and formulas that try to run code."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.cli import main
from mixedfit.formula.safety import check_is_plain

MODEL = "Reaction ~ Days + (Days | Subject)"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_fit_must_print_the_summary_of_a_data_set_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "fit", "sleepstudy", MODEL)
    assert code == 0
    assert err == ""
    assert "REML criterion at convergence: 1743.6" in out
    assert "Days          10.467      1.546 17.00   6.771 3.26e-06" in out
    assert out.strip() == str(mf.lmm(MODEL, mf.load_dataset("sleepstudy")).fit().summary())


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_fit_must_read_files(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = mf.load_dataset("sleepstudy")
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        data.to_parquet(path)
    elif kind == "csv":
        data.to_csv(path, index=False)
    else:
        path.write_bytes(gzip.compress(data.to_csv(index=False).encode()))
    code, out, _ = run(capsys, "fit", str(path), MODEL, "--ml")
    assert code == 0
    assert "fit by maximum likelihood" in out
    assert "1751.9" in out


def test_json_must_carry_what_the_summary_shows(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fit", "sleepstudy", MODEL, "--format", "json", "--correlation")
    record = json.loads(out)
    fit = mf.lmm(MODEL, mf.load_dataset("sleepstudy")).fit()
    assert code == 0
    assert record["criteria"]["REML criterion"] == pytest.approx(fit.reml_criterion)
    assert [row["name"] for row in record["fixed_effects"]] == ["(Intercept)", "Days"]
    assert record["fixed_effects"][1]["std_error"] == pytest.approx(fit.bse["Days"])
    assert [row["vcov"] for row in record["random_effects"]] == pytest.approx(list(fit.varcorr["vcov"]))
    assert record["correlation"]["Days"]["(Intercept)"] == pytest.approx(-0.138, abs=5e-4)
    assert record["scaled_residuals"]["Max"] == pytest.approx(5.1793, abs=5e-5)
    assert (record["nobs"], record["ngroups"]) == (180, {"Subject": 18})
    assert record["verdict"].startswith("Converged")


def test_json_must_stay_valid_where_a_correlation_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "fit", "Dyestuff2", "Yield ~ 1 + (1 | Batch)", "--format", "json")
    record = json.loads(out)
    assert code == 0
    assert record["random_effects"][0]["vcov"] == 0
    assert "boundary" in record["verdict"]


def test_html_must_go_to_the_file_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fit.html"
    code, out, _ = run(capsys, "fit", "sleepstudy", MODEL, "--format", "html", "--out", str(path))
    text = path.read_text(encoding="utf-8")
    assert (code, out) == (0, "")
    assert text.startswith("<!doctype html>")
    assert '<td style="text-align:right;white-space:nowrap">10.467</td>' in text


def test_factors_must_turn_numbers_into_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    mf.load_dataset("sleepstudy").to_csv(path, index=False)
    code, out, _ = run(capsys, "fit", str(path), "Reaction ~ Days + (1 | Subject)", "--factors", "Days")
    assert code == 0
    assert "Days9" in out


def test_datasets_must_list_what_ships(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "datasets")
    assert code == 0
    assert "InstEval" in out
    assert "73421 rows" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fit", "sleepstudi", MODEL), "Did you mean 'sleepstudy'"),
        (("fit", "sleepstudy", "Reaction ~ Dais + (1 | Subject)"), "Did you mean 'Days'"),
        (("fit", "sleepstudy", "Reaction ~ Days + (1 | Subject"), "never closed"),
        (("fit", "sleepstudy", MODEL, "--factors", "Nope"), "not a column"),
        (("fit", "sleepstudy", MODEL, "--out", "/nowhere/at/all.txt"), "cannot write"),
    ],
)
def test_bad_input_must_exit_with_two_and_say_why(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert says in err
    assert "Traceback" not in err


COLUMNS = ["y", "x", "g", "odd name", "a.b"]

ATTACKS = [
    "y ~ bs(x, knots=[__import__('os').system('touch owned')])",
    "y ~ ns(x, knots=open('owned', 'w'))",
    "y ~ ns(x, extrapolation='owned')",
    "y ~ __import__('os').system('touch owned') + (1 | g)",
    "y ~ I(__import__('os').getcwd()) + (1 | g)",
    "y ~ np.log(x)",
    "y ~ I(np.loadtxt('secret'))",
    "y ~ x.__class__",
    "y ~ I(x.__class__.__mro__)",
    "y ~ I(x.apply(print))",
    "y ~ {print(1)}",
    "y ~ {x.sum()}",
    "y ~ eval('x')",
    "y ~ exec('1')",
    "y ~ open('file')",
    "y ~ I(open('file'))",
    "y ~ getattr(x, 'sum')",
    "y ~ I((lambda: x)())",
    "y ~ I([x for x in (1,)])",
    "y ~ I(x[0])",
    "y ~ I(f'{x}')",
    "y ~ I(x if x else y)",
    "y ~ I((x := 3))",
    "y ~ I(9 ** 9 ** 9)",
    "y ~ I(x ** x)",
    "y ~ I(x ** 1e9)",
    "y ~ I('a' * 1000)",
    "y ~ poly(x, 100000000)",
    "y ~ np",
    "y ~ contr",
    "y ~ C(g, contr.custom([[1]]))",
    "y ~ C(g, contr.__class__)",
    "y ~ C(g, open('file'))",
    "y ~ Q(open('file'))",
    "y ~ Q('not a column')",
    "y ~ Q('x', 'y')",
    "y ~ log(x, out=open('file'))",
    "y ~ hashed(x)",
    "y ~ lag(x)",
    "open('file') ~ x",
    "np.log(y) ~ x",
    "y ~ x + offset(open('file'))",
    "y ~ (open('file') | g)",
    "y ~ (I(x.__class__) || g)",
    "y ~ `x`.__class__",
    "y ~ a.c",
]


@pytest.mark.parametrize("formula", ATTACKS)
def test_formula_with_code_must_be_refused(
    formula: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mf.FormulaError):
        check_is_plain(formula, COLUMNS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "log(y) ~ poly(x, 2) + (1 | g)",
        "y ~ I(x - 11) + I(x^2) + I(x ** 3) + (0 + x || g)",
        "y ~ bs(x, df=4) + C(g, contr.sum) + (1 | g)",
        "y ~ C(g, contr.treatment(base='a')) + scale(x) - 1",
        "1000 / y ~ sin(2 * pi * x) + a.b + (1 | g:x)",
        "y ~ Q('odd name') + `odd name`:x + (1 | g/x)",
        "y ~ I(x > 3) + offset(log(x))",
        "y ~ ns(x, knots=[1, -2e9], Boundary.knots=(-5e9, 9)) + (1 | g + x)",
        "y ~ bs(x, df=5, extrapolation='extend') + cr(x, df=3, constraints='center')",
    ],
)
def test_plain_formula_must_pass(formula: str) -> None:
    check_is_plain(formula, COLUMNS)


def test_column_that_has_the_name_of_a_function_must_not_be_called() -> None:
    with pytest.raises(mf.FormulaError, match="the call"):
        check_is_plain("y ~ log(x)", ["y", "x", "log"])


def test_attack_on_the_command_line_must_exit_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"y": [1.0, 2, 3], "x": [1.0, 3, 2]}).to_csv("data.csv")
    code, _, err = run(capsys, "fit", "data.csv", "y ~ I(__import__('os').system('touch owned'))")
    assert code == 2
    assert "not allowed" in err
    assert not Path("owned").exists()


def test_interrupt_must_exit_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixedfit.cli.model.lmm", interrupted)
    code, _, err = run(capsys, "fit", "sleepstudy", MODEL)
    assert code == 130
    assert "interrupted" in err


def test_fit_that_does_not_converge_must_exit_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control = mf.Control(max_evaluations=2)
    monkeypatch.setattr("mixedfit.estimation.estimate.Control", lambda: control)
    code, out, err = run(capsys, "fit", "sleepstudy", MODEL)
    assert code == 1
    assert "Not converged" in out
    assert "Not converged" in err


def test_gibbs_must_print_the_posterior_under_default_priors(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "gibbs", "sleepstudy", MODEL, "--seed", "1")
    assert (code, err) == (0, "")
    assert "σ ~ half-t(3, 56.2)" in out
    table = [line.split() for line in out.splitlines() if line.startswith("Days")]
    assert float(table[0][1]) == pytest.approx(10.4, abs=0.3)


def test_gibbs_must_say_by_its_exit_code_that_draws_are_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "gibbs", "sleepstudy", MODEL, "--draws", "20", "--tune", "5", "--seed", "1")
    assert code == 1
    assert "effective draws" in out


def test_compare_must_print_fit_and_posterior(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "compare", "sleepstudy", MODEL, "--seed", "1")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    fit, posterior = lines.index(["Wald", "profile"]), lines.index(["posterior", "credible"])
    assert lines[fit + 1] == ["estimate", "SE", "lower", "upper", "lower", "upper"]
    assert lines[posterior + 1] == ["mean", "SD", "lower", "upper"]
    rows = [line[0] for line in lines[fit + 2 : fit + 8]]
    assert [line[0] for line in lines[posterior + 2 : posterior + 8]] == rows


@pytest.mark.parametrize("command", ["gibbs", "compare"])
def test_ending_of_the_file_must_choose_the_format_of_what_was_sampled(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("sleepstudy", "Reaction ~ Days + (1 | Subject)", "--draws", "50", "--tune", "50", "--seed", "1")
    run(capsys, command, *short, "--out", str(tmp_path / "a.json"))
    stored = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    posterior = mf.lmm(short[1], mf.load_dataset("sleepstudy")).gibbs(draws=50, tune=50, seed=1)
    column = "mean" if command == "gibbs" else "post_mean"
    assert stored["parameters"]["Days"][column] == pytest.approx(posterior["Days"].mean())
    assert stored["warnings" if command == "gibbs" else "notes"]
    run(capsys, command, *short, "--out", str(tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "sd_(Intercept)|Subject" in page


def test_gibbs_must_draw_until_ess_and_write_the_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formula, path = "Reaction ~ Days + (1 | Subject)", tmp_path / "draws.npz"
    options = ("--ess", "200", "--tune", "100", "--seed", "1", "--save", str(path))
    code, out, err = run(capsys, "gibbs", "sleepstudy", formula, *options)
    posterior = mf.lmm(formula, mf.load_dataset("sleepstudy")).gibbs(ess=200, tune=100, seed=1)
    assert code == (1 if posterior.warnings else 0)
    assert "wanted: 200" in out
    assert f"Draws written to {path}" in err
    assert (mf.load(path)["Days"] == posterior["Days"]).all()


@pytest.mark.slow
def test_gibbs_must_write_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    page = tmp_path / "page.html"
    options = ("--seed", "1", "--report", str(page), "--label", "Days=Days awake", "--title", "Sleep")
    code, _, err = run(capsys, "gibbs", "sleepstudy", "Reaction ~ Days + (1 | Subject)", *options)
    text = page.read_text(encoding="utf-8")
    assert code == 0
    assert "<h1>Sleep" in text
    assert "Days awake" in text
    assert f"Page written to {page}" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--report", "nowhere/page.html"], "--report names 'nowhere/page.html', but there is no folder"),
        (["--label", "Days=x"], "--report FILE"),
    ],
)
def test_gibbs_must_refuse_before_it_samples_what_it_could_not_write(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "gibbs", "sleepstudy", MODEL, *options)
    assert (code, out) == (2, "")
    assert words in err


def test_gibbs_must_refuse_a_formula_that_runs_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "gibbs", "sleepstudy", "Reaction ~ eval('1') + (1 | Subject)")
    assert code == 2
    assert "eval" in err


@pytest.mark.parametrize(
    ("name", "options", "begins"),
    [
        ("fit.html", [], "<!doctype html>"),
        ("fit.JSON", [], "{"),
        ("fit.txt", [], "Linear mixed model"),
        ("fit.html", ["--format", "text"], "Linear mixed model"),
    ],
)
def test_format_must_follow_the_name_of_the_file_unless_it_is_given(
    name: str, options: list[str], begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    assert run(capsys, "fit", "sleepstudy", MODEL, "--out", str(path), *options)[0] == 0
    assert path.read_text(encoding="utf-8").startswith(begins)


def test_json_must_keep_infinite_degrees_of_freedom(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "fit", "sleepstudy", MODEL, "--ml", "--format", "json")
    assert [float(row["df"]) for row in json.loads(out)["fixed_effects"]] == [float("inf")] * 2


def test_errors_must_be_one_tidy_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n1,2\n3,4,5\n")
    for source in ("nothing-like-it", str(path)):
        _, _, err = run(capsys, "fit", source, MODEL)
        assert err.count("\n") == 1
        assert "  " not in err


def test_compare_must_write_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    path = tmp_path / "side.svg"
    code, out, err = run(
        capsys, "compare", "Dyestuff", "Yield ~ 1 + (1 | Batch)", "--seed", "1", "--plot", str(path)
    )
    assert code == 0, err
    assert "SD of (Intercept) | Batch" in path.read_text(encoding="utf-8") or path.stat().st_size > 10_000
    assert str(path) in err
    assert "profile" in out


@pytest.mark.parametrize(
    ("name", "message"), [("side.doc", "expected a file that ends"), ("no/side.png", "no folder")]
)
def test_picture_that_cannot_be_written_must_be_refused_before_sampling(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, message: str
) -> None:
    pytest.importorskip("matplotlib")
    code, out, err = run(capsys, "compare", "sleepstudy", MODEL, "--plot", str(tmp_path / name))
    assert (code, out) == (2, "")
    assert message in err


def test_messy_file_must_be_fitted_and_what_was_found_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sleep.csv"
    data = mf.load_dataset("sleepstudy")
    text = data.to_csv(index=False, sep=";", decimal=",")
    path.write_bytes(("Schlafstudie für alle\n\n" + text).encode("latin-1"))
    code, out, err = run(capsys, "fit", str(path), MODEL, "--factors", "Subject")
    assert code == 0
    assert "REML criterion at convergence: 1743.6" in out
    for said in ("semicolons", "decimal comma", "Latin-1", "1 line above the names skipped"):
        assert said in err
    options = [
        "--sep",
        ";",
        "--decimal",
        ",",
        "--encoding",
        "latin-1",
        "--skip",
        "2",
        "--na",
        "-9",
        "--na",
        "x",
    ]
    code, out, err = run(capsys, "fit", str(path), MODEL, "--factors", "Subject", *options)
    assert (code, err) == (0, "")
    assert "1743.6" in out
