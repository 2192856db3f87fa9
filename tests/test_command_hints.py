"""The command line says what was probably meant, in one sentence, and prints the notes that Python prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments import priming, priming_fit, session_fit

from mixedfit.cli import main

MODEL = "RT ~ Prime * Session + (1 | Subject)"


@pytest.fixture
def file(tmp_path: Path) -> str:
    priming().to_csv(tmp_path / "experiment.csv", index=False)
    return str(tmp_path / "experiment.csv")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["anva", "{}", MODEL], "there is no command 'anva'. Did you mean 'anova'?"),
        (["means", "{}", MODEL], "there is no command 'means'. Did you mean 'emmeans'?"),
        (["nonsense"], "there is no command 'nonsense'. The commands are fit, "),
        (["fit", "{}", MODEL, "--otu", "x"], "mixedfit fit: there is no option --otu. Did you mean '--out'?"),
        (["fit", "{}", MODEL, "--output=x"], "there is no option --output. Did you mean '--out'?"),
        (["fit", "{}", MODEL, "--reml"], "REML is the default, --ml chooses maximum likelihood."),
        (["anova", "{}", MODEL, "--ddf", "kenward"], "--ddf kenward is not known; expected satterthwaite, "),
        (["anova", "{}", MODEL, "--ddf", "kenward"], "Did you mean 'kenward-roger'?"),
        (["emmeans", "{}", MODEL, "Prime", "--ajust", "holm"], "Did you mean '--adjust'?"),
        (["fit", "{}", "RT", "~", "Prime"], "unexpected '~ Prime'. Put the formula in quotes."),
        (["fit", "{}"], "mixedfit fit: formula missing."),
        ([], "mixedfit: command missing."),
        (["fit", "{}", MODEL, "--seed", "x"], "--seed 'x' is not a whole number."),
    ],
)
def test_wrong_arguments_must_be_answered_in_one_line(
    arguments: list[str], says: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main([text.replace("{}", file) for text in arguments])
    assert exit.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1
    assert "usage:" not in err


def test_wrong_names_inside_must_be_answered_too(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", file.replace("experiment", "experment"), MODEL]) == 2
    assert "Did you mean 'experiment.csv'?" in capsys.readouterr().err
    assert main(["fit", file, MODEL, "--level", "95"]) == 2
    assert "For 95 percent give 0.95" in capsys.readouterr().err
    assert main(["emmeans", file, MODEL, "Prime", "--contrasts", "pairwse"]) == 2
    assert "Did you mean 'pairwise'?" in capsys.readouterr().err


def test_notes_must_be_those_of_python(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anova", file, "RT ~ C(SOA, contr.sum) * Session + (1 | Subject) + (1 | Item)"]) == 0
    assert capsys.readouterr().out.strip() == str(session_fit().anova())
    formula = priming_fit().formula
    assert main(["emmeans", file, formula, "Prime", "--by", "Frequency", "--contrasts", "pairwise"]) == 0
    assert capsys.readouterr().out.strip() == str(priming_fit().emmeans("Prime", "Frequency").contrasts())
    options = ["--by", "Frequency", "--contrasts", "pairwise", "--adjust", "bonf", "--family", "all"]
    assert main(["emmeans", file, formula, "Prime", *options]) == 0
    expected = priming_fit().emmeans("Prime", "Frequency").contrasts(adjust="bonferroni", family="all")
    assert capsys.readouterr().out.strip() == str(expected)


def test_messages_must_be_printed_once(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = priming().copy()
    data.loc[0, "Prime"] = "Related"
    data.to_csv(file, index=False)
    assert main(["anova", file, "RT ~ Prime + (1 | Subject)", "RT ~ Session + Prime + (1 | Subject)"]) == 0
    assert capsys.readouterr().err.count("'Related' and 'related'") == 1


def test_expand_must_choose_what_two_bars_mean(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    formula = "RT ~ Prime + (C(Prime, contr.sum) || Subject)"
    main(["fit", file, formula])
    assert "contr.sum is not used" in capsys.readouterr().err
    main(["fit", file, formula, "--expand", "contrasts"])
    out, err = capsys.readouterr()
    assert "C(Prime, contr.sum)1" in out
    assert err == ""


def test_tests_must_be_written_to_word_by_the_ending_of_the_file(file: str, tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    out = tmp_path / "anova.docx"
    assert main(["anova", file, priming_fit().formula, "--out", str(out)]) == 0
    heads = [cell.text for cell in docx.Document(str(out)).tables[0].rows[0].cells]
    assert heads[-2:] == ["F", "p"]
