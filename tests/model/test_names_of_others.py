"""Names and arguments of other programs must raise errors that name those of mixedfit."""

from __future__ import annotations

import copy
import inspect
import pickle
from functools import partial
from typing import Any

import pytest

import mixedfit as mf
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.other_programs import ARGUMENTS, ATTRIBUTES, MODULE, Hinted, public_names
from mixedfit.inference.emmeans.emmeans import MarginalMeans
from mixedfit.plots._posterior_methods import PosteriorPictures

MODEL = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
FIT = MODEL.fit()
POSTERIOR = MODEL.gibbs(draws=10, tune=10, seed=1)
OWNERS = (mf.MixedResults, mf.LinearMixedModel, Posterior)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("fixef", "params"),
        ("VarCorr", "varcorr"),
        ("logLik", "llf"),
        ("AIC", "aic"),
        ("coef", "group_coefs"),
        ("isSingular", "singular"),
        ("residuals", "resid"),
    ],
)
def test_unknown_attribute_must_name_ours(name: str, ours: str) -> None:
    with pytest.raises(AttributeError, match=f"MixedResults has no '{name}'.*'{ours}'"):
        getattr(FIT, name)
    with pytest.raises(AttributeError, match="not fitted yet"):
        getattr(MODEL, name)


@pytest.mark.parametrize(
    ("owner", "name", "says"),
    [
        (POSTERIOR, "pvalues", "use 'probability'"),
        (mf.priors, "HalfStudentT", "use 'HalfT'"),
        (mf.priors, "normal", "use 'Normal'"),
    ],
)
def test_unknown_name_of_bayes_must_name_ours(owner: Any, name: str, says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        getattr(owner, name)


@pytest.mark.parametrize("name", ["random_effects", "group_coefs", "random_effects_cov"])
def test_unknown_grouping_factor_must_name_ours(name: str) -> None:
    with pytest.raises(mf.ModelError, match="Did you mean 'Subject'"):
        getattr(FIT, name)["subject"]


@pytest.mark.parametrize(
    ("name", "ours"),
    [("lmer", "'lmm'"), ("load_data", "'load_dataset'"), ("MixedLM", "'lmm'"), ("ranef", "random_effects")],
)
def test_unknown_name_of_the_package_must_name_ours(name: str, ours: str) -> None:
    with pytest.raises(AttributeError, match=ours):
        getattr(mf, name)


@pytest.mark.parametrize(
    ("function", "keywords", "says"),
    [
        (mf.lmm, {"REML": True}, r"\.fit\(reml=False\)"),
        (mf.lmm, {"groups": "Subject"}, r"in the formula.*\| group"),
        (mf.lmm, {"vc_formula": {}}, r"\(1 \| a:b\)"),
        (mf.lmm, {"na.action": "omit"}, "use 'missing'"),
        (MODEL.fit, {"method": "ML"}, "use 'reml'"),
        (MODEL.gibbs, {"iter": 10}, "use 'draws'"),
        (MODEL.gibbs, {"random_seed": 1}, "use 'seed'"),
        (MODEL.gibbs, {"cores": 1}, "use 'n_jobs'"),
        (FIT.predict, {"re_formula": "all"}, "use 're_form'"),
        (FIT.conf_int, {"levle": 0.9}, "Did you mean 'level'"),
        (FIT.emmeans, {"xyzzy": 0.9}, "It takes specs, by, at"),
        (mf.power, {"nsim": 9}, "use 'n'"),
        (MODEL.gibbs, {"n_iter": 9}, "use 'draws'"),
        (POSTERIOR.predict, {"interval": "prediction"}, r"Posterior.predict\(\) .*summary\(level=0.95\)"),
        (POSTERIOR.conf_int, {"method": "hpd"}, r"Posterior.conf_int\(\) .* use 'interval'"),
        (POSTERIOR.check, {"by": "Batch"}, "use 'group'"),
        (FIT.plot.fitted_lines, {"levels": ["A"]}, r"fitted_lines\(\) .* use 'groups'"),
        (mf.plots.shrinkage, {"nams": 3}, "Did you mean 'names'"),
        (partial(mf.priors.Normal, 0), {"sigma": 1}, "Normal.* has no argument 'sigma'; use 'sd'"),
        (partial(mf.priors.HalfT, 20), {}, r"HalfT\(df, scale\): missing a required argument: 'scale'"),
    ],
)
def test_unknown_argument_must_name_ours(function: Any, keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        function(**keywords)


def test_names_in_the_tables_must_exist() -> None:
    known = {name for owner in (*OWNERS, MarginalMeans) for name in public_names(owner)}
    for answers in ATTRIBUTES.values():
        assert {text.split(".")[0] for text in answers} <= known
        for text in answers:
            head, _, rest = text.partition(".")
            assert not rest or hasattr(getattr(FIT, head), rest) or hasattr(PosteriorPictures, rest)
    assert {text.split("(")[0] for text in MODULE.values()} <= {*mf.__all__}
    methods = [value for owner in OWNERS for value in vars(owner).values() if inspect.isfunction(value)]
    functions = [value for name in mf.__all__ if inspect.isfunction(value := getattr(mf, name))]
    bases = [
        value
        for base in mf.MixedResults.__mro__
        for value in vars(base).values()
        if inspect.isfunction(value)
    ]
    pictures = [value for name in mf.plots.__all__ if inspect.isfunction(value := getattr(mf.plots, name))]
    arguments = {
        name for f in [*methods, *functions, *bases, *pictures] for name in inspect.signature(f).parameters
    }
    assert {ours for ours, _ in ARGUMENTS.values() if ours} <= arguments


def test_public_functions_must_check_their_keywords() -> None:
    functions = [getattr(mf, name) for name in mf.__all__ if inspect.isfunction(getattr(mf, name))]
    for function in functions:
        if len(inspect.signature(function).parameters) > 2:  # others have no options
            assert hasattr(function, "__wrapped__"), function


def test_error_inside_a_property_must_be_its_own() -> None:
    class Broken(Hinted):
        @property
        def value(self) -> Any:
            return (1).nothing  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="'int' object has no attribute 'nothing'"):
        _ = Broken().value


def test_functions_and_fits_must_still_be_copied() -> None:
    assert pickle.loads(pickle.dumps(mf.lmm)) is mf.lmm
    assert copy.copy(FIT).params.equals(FIT.params)
    assert not hasattr(FIT, "_repr_latex_")
