"""Which tests are adjusted together, names of adjustments, and what users of R's emmeans try first."""

from __future__ import annotations

import numpy as np
import pytest
from experiments import priming, priming_fit, session_fit

import mixedfit as mf
from mixedfit.inference.emmeans.multiplicity import full_name

WITHIN = {"sum": lambda: priming_fit().emmeans("Prime", by="Frequency")}


def test_bonferroni_across_groups_must_multiply_by_all_tests() -> None:
    """The rivals multiply by the 3 tests of a group, or by none."""
    means = session_fit().emmeans("SOA", by="Session")
    raw = means.contrasts(adjust="none").table["p_value"].to_numpy()
    whole = means.contrasts(adjust="bonferroni", family="all").table["p_value"].to_numpy()
    assert whole == pytest.approx(np.minimum(1.0, 6 * raw))
    assert means.contrasts(adjust="bonferroni").table["p_value"].to_numpy() == pytest.approx(
        np.minimum(1.0, 3 * raw)
    )


@pytest.mark.everyday(3)
@pytest.mark.parametrize("adjust", ["holm", "mvt", "scheffe", "fdr", "none"])
def test_one_family_must_be_the_contrasts_of_all_cells_written_out(adjust: str) -> None:
    fit = session_fit()
    means = fit.emmeans("SOA", by="Session")
    cells = fit.emmeans(["SOA", "Session"])
    names = [f"{soa} {session:g}" for soa, session in cells.table[["SOA", "Session"]].to_numpy()]
    table = means.contrasts(adjust=adjust, family="all").table
    written = {}
    for number, (contrast, session) in enumerate(table[["contrast", "Session"]].to_numpy()):
        one, other = (f"{level} {session:g}" for level in contrast.split(" - "))
        assert one in names
        written[str(number)] = {one: 1, other: -1}
    expected = cells.contrasts(written, adjust=adjust).table
    columns = ["estimate", "std_error", "df", "lower", "upper", "statistic", "p_value"]
    tolerance = {"abs": 2e-4} if adjust == "mvt" else {"rel": 1e-9}
    for column in columns if adjust != "mvt" else ["estimate", "p_value"]:
        assert table[column].to_numpy() == pytest.approx(expected[column].to_numpy(), **tolerance)


def test_default_across_groups_must_be_the_joint_distribution_and_tukeys_be_refused() -> None:
    means = session_fit().emmeans("SOA", by="Session")
    whole = means.contrasts(family="all")
    assert whole.adjust == "mvt"
    within = means.contrasts().table["p_value"]
    bonferroni = means.contrasts(adjust="bonferroni", family="all").table["p_value"]
    assert np.all(within.to_numpy() - 1e-9 <= whole.table["p_value"].to_numpy())
    assert np.all(whole.table["p_value"].to_numpy() <= bonferroni.to_numpy() + 1e-6)
    with pytest.raises(mf.ModelError, match="adjust='mvt'"):
        means.contrasts(adjust="tukey", family="all")
    with pytest.raises(mf.ModelError, match="family='al' is not known"):
        means.contrasts(family="al")  # type: ignore[arg-type]


def test_family_must_change_nothing_without_groups() -> None:
    means = session_fit().emmeans("SOA")
    one, other = means.contrasts(), means.contrasts(family="all")
    assert str(one) == str(other)
    assert "family of its own" not in str(one)


def test_table_must_say_that_each_group_is_a_family() -> None:
    three = str(session_fit().emmeans("SOA", by="Session").contrasts()).replace("\n", " ")
    assert "Each group of Session is a family of its own; contrasts(family='all')" in three
    assert "across all 6 tests" in three
    two = str(WITHIN["sum"]().contrasts()).replace("\n", " ")
    assert "family of its own, with one test, so that nothing was adjusted" in two
    assert "of its own" not in str(WITHIN["sum"]().contrasts(adjust="none"))
    assert "of its own" not in str(WITHIN["sum"]().contrasts(family="all"))
    assert "of its own" not in str(WITHIN["sum"]().effect_sizes())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("bonf", "bonferroni"), ("Bonferroni", "bonferroni"), ("tuk", "tukey"), ("bh", "BH"), ("by", "BY"),
        ("hoch", "hochberg"), ("FDR", "fdr"), ("dunnettx", "dunnett"), ("sid", "sidak"),
    ],
)  # fmt: skip
def test_adjustments_must_be_known_by_the_beginning_of_their_names(given: str, name: str) -> None:
    assert full_name(given) == name
    if name not in ("dunnett", "tukey"):
        assert session_fit().emmeans("SOA").contrasts("consec", adjust=given).adjust == name  # type: ignore[arg-type]


@pytest.mark.parametrize("unknown", ["ho", "h", "", "bnf", "xyz"])
def test_other_names_of_adjustments_must_be_refused(unknown: str) -> None:
    with pytest.raises(mf.ModelError, match="adjust="):
        session_fit().emmeans("SOA").contrasts(adjust=unknown)  # type: ignore[arg-type]


def test_second_argument_of_emmeans_must_be_by_as_in_r() -> None:
    fit = priming_fit()
    assert str(fit.emmeans("Prime", "Frequency")) == str(fit.emmeans("~ Prime | Frequency"))


def test_what_users_of_r_try_must_lead_to_the_right_call() -> None:
    fit = priming_fit()
    with pytest.raises(TypeError, match=r"contrasts\(adjust="):
        fit.emmeans("Prime", adjust="holm")  # type: ignore[call-arg]
    with pytest.raises(mf.ModelError, match=r"mf\.anova\(fit, other\)"):
        fit.anova(session_fit())
    with pytest.raises(mf.ModelError, match=r"fit\.anova\(type=2\)"):
        fit.anova(2)


def test_coding_under_two_bars_must_be_warned_of_when_it_is_not_used() -> None:
    formula = "RT ~ Prime + (C(Prime, contr.sum) || Subject)"
    with pytest.warns(mf.FormulaWarning, match=r"contr\.sum is not used.*expand='contrasts'") as found:
        mf.lmm(formula, priming())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("random", "expand"),
    [
        ("(C(Prime, contr.sum) || Subject)", "contrasts"),
        ("(C(Prime, contr.sum) | Subject)", "levels"),
        ("(C(Prime) || Subject)", "levels"),
        ("(Prime || Subject)", "levels"),
        ("diag(C(Prime, contr.sum) | Subject)", "levels"),
    ],
)
def test_used_codings_must_not_be_warned_of(
    random: str, expand: str, recwarn: pytest.WarningsRecorder
) -> None:
    mf.lmm(f"RT ~ Prime + {random}", priming(), expand=expand)  # type: ignore[arg-type]
    assert not [w for w in recwarn if issubclass(w.category, mf.FormulaWarning)]
