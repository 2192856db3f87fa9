"""`Known`: checks of its matrix, and the inverse of a pedigree's relationships."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_data import animals, pedigree_of
from known_oracle import tabular_relationships
from scipy import sparse

import mixedfit as mf

A = np.array([[1.0, 0.5], [0.5, 1.0]])


def test_known_must_be_the_same_from_a_frame_an_array_and_a_sparse_matrix() -> None:
    labels = ["a", "b"]
    frame = pd.DataFrame(A, labels, labels)
    sparse_inverse = mf.Known(sparse.csr_array(np.linalg.inv(A)), labels, inverse=True)
    for known in (mf.Known(frame), mf.Known(frame[["b", "a"]]), mf.Known(A, labels), sparse_inverse):
        assert known.covariance.to_numpy() == pytest.approx(A)
        assert list(known.labels) == labels
        assert known.log_determinant == pytest.approx(np.log(0.75))
        assert known.root @ known.root.T == pytest.approx(A)


@pytest.mark.parametrize(
    ("matrix", "labels", "words"),
    [
        (A, None, "no labels"),
        (A, ["a"], "1 labels for a matrix of 2 rows"),
        (A[:1], ["a"], "expected a square one"),
        (A, ["a", "a"], "more than once: 'a'"),
        (A, ["a", np.nan], "a label is missing"),
        (pd.DataFrame(A, ["a", "b"], ["a", "c"]), None, "'c' is a column of the frame but not in its index"),
        (pd.DataFrame(A, ["a", "b"], ["a", "b"]), ["a", "b"], "leave labels= out"),
        ([[1.0, 0.5], [0.2, 1.0]], ["a", "b"], r"0\.5 for \('a', 'b'\) and 0\.2 for \('b', 'a'\)"),
        ([[1.0, np.nan], [np.nan, 1.0]], ["a", "b"], "missing or infinite"),
        ([["x", "y"], ["y", "z"]], ["a", "b"], "must hold numbers"),
        ([[1.0, 2.0], [2.0, 1.0]], ["a", "b"], "not positive definite .*smallest eigenvalue is -1"),
        (np.ones((2, 2)), ["a", "b"], "semi-definite.*clones.*blend"),
        (np.zeros((2, 2)), ["a", "b"], "semi-definite"),
    ],
)
def test_bad_matrix_must_be_refused_with_what_to_do(matrix: Any, labels: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        mf.Known(matrix, labels)


def test_singular_inverse_must_be_refused_as_an_intrinsic_autoregression() -> None:
    with pytest.raises(mf.ModelError, match=r"intrinsic autoregression.*proper one"):
        mf.Known([[1.0, -1.0], [-1.0, 1.0]], ["a", "b"], inverse=True)


@pytest.mark.parametrize(
    ("formula", "known", "words"),
    [
        ("y ~ x + (1 | animal)", {"anmal": "A"}, "'anmal' is not a grouping factor.*Did you mean 'animal'"),
        ("y ~ x", {"animal": "A"}, "it has no random effects"),
        ("y ~ x + (1 | animal:herd)", {"animal:herd": "A"}, "combines the columns animal and herd"),
        ("y ~ x + (1 | animal)", {"animal": np.eye(3)}, "ndarray; expected mixedfit.Known"),
        ("y ~ x + (1 | animal)", "A", "expected a mapping"),
        ("y ~ x + (1 | herd)", {"herd": "text"}, "type str, such as '0'.*type int: 0"),
        ("y ~ x + (1 | animal)", {"animal": "fewer"}, r"'a39' of 'animal' is in the data but not"),
    ],
)
def test_wrong_use_must_be_refused_with_the_names(formula: str, known: Any, words: str) -> None:
    pedigree, frame, matrix = animals()
    labels = pedigree.animal.tolist()
    made = {
        "A": mf.Known(matrix, labels),
        "text": mf.Known(np.eye(6), [str(i) for i in range(6)]),
        "fewer": mf.Known(matrix[:-1, :-1], labels[:-1]),
    }
    if isinstance(known, dict):
        known = {name: made[own] if isinstance(own, str) else own for name, own in known.items()}
    with pytest.raises(mf.ModelError, match=words):
        mf.lmm(formula, frame, known=known)


def test_one_row_a_level_must_need_related_levels() -> None:
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "g": list("abcd")})
    with pytest.raises(mf.ModelError, match="not related to each other"):
        mf.lmm("y ~ 1 + (1 | g)", frame, known={"g": mf.Known(np.eye(4), list("abcd"))}).fit()


HENDERSON_1976 = {"animal": [1, 2, 3, 4, 5, 6], "sire": [0, 0, 1, 1, 4, 5], "dam": [0, 0, 2, 0, 3, 2]}
"""The pedigree of Henderson (1976), also in Mrode (2005), example 2.1: animals 5 and 6 are inbred."""

RELATIONSHIPS_1976 = [
    [1.0, 0.0, 0.5, 0.5, 0.5, 0.25],
    [0.0, 1.0, 0.5, 0.0, 0.25, 0.625],
    [0.5, 0.5, 1.0, 0.25, 0.625, 0.5625],
    [0.5, 0.0, 0.25, 1.0, 0.625, 0.3125],
    [0.5, 0.25, 0.625, 0.625, 1.125, 0.6875],
    [0.25, 0.625, 0.5625, 0.3125, 0.6875, 1.125],
]


def test_relationships_must_be_those_published_with_inbreeding() -> None:
    known = mf.Known.from_pedigree(HENDERSON_1976)
    assert known.covariance.to_numpy() == pytest.approx(np.array(RELATIONSHIPS_1976), abs=1e-12)
    assert known.inbreeding is not None
    assert known.inbreeding.to_dict() == pytest.approx({1: 0, 2: 0, 3: 0, 4: 0, 5: 0.125, 6: 0.125})


@pytest.mark.parametrize("seed", range(4))
def test_pedigree_must_have_the_relationships_of_the_tabular_method(seed: int) -> None:
    """Also of a pedigree in any order, with close inbreeding, selfing and one unknown parent."""
    pedigree = pedigree_of(60, founders=5, seed=seed)
    place = {label: i for i, label in enumerate(pedigree.animal)}
    own = tabular_relationships(*([place.get(p, -1) for p in pedigree[side]] for side in ("sire", "dam")))
    assert np.diag(own).max() > 1.2
    known = mf.Known.from_pedigree(pedigree.sample(frac=1.0, random_state=seed))
    labels = pedigree.animal.tolist()
    assert known.covariance.loc[labels, labels].to_numpy() == pytest.approx(own, abs=1e-10)
    assert known.inbreeding is not None
    assert known.inbreeding[labels].to_numpy() == pytest.approx(np.diag(own) - 1.0, abs=1e-12)


def test_parents_without_a_row_must_be_founders_and_unknown_ones_none() -> None:
    pedigree = pd.DataFrame({"id": ["c", "d"], "pa": ["a", " "], "ma": ["b", None]})
    known = mf.Known.from_pedigree(pedigree, animal="id", sire="pa", dam="ma")
    assert list(known.labels) == ["a", "b", "c", "d"]
    assert known.covariance.loc["c", ["a", "b", "d"]].tolist() == pytest.approx([0.5, 0.5, 0.0])
    numbers = pd.DataFrame({"animal": [3, 4], "sire": [1.0, np.nan], "dam": [2, 0]})
    assert list(mf.Known.from_pedigree(numbers).labels) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pedigree", "words"),
    [
        (
            {"animal": ["a", "b", "c"], "sire": ["c", "a", ""], "dam": ["", "", "b"]},
            "loop: 'a' is an offspring of 'c' is an offspring of 'b' is an offspring of 'a'",
        ),
        ({"animal": ["a"], "sire": ["a"], "dam": [""]}, "'a' as its own parent"),
        ({"animal": ["a", "a"], "sire": ["", ""], "dam": ["", ""]}, "more than one row for 'a'"),
        ({"animal": ["a", ""], "sire": ["", ""], "dam": ["", ""]}, "row 1 of the pedigree has no animal"),
        ({"animal": [1, 2], "sire": ["1", None], "dam": [0, 0]}, "parent '1' is of type str"),
        ({"animal": [1], "father": [0], "dam": [0]}, "no column 'sire'"),
    ],
)
def test_bad_pedigree_must_be_refused_by_name(pedigree: Any, words: str) -> None:
    with pytest.raises(mf.DataError, match=words):
        mf.Known.from_pedigree(pedigree)


def test_pedigree_must_not_be_changed() -> None:
    pedigree = pedigree_of(10, 3)
    before = pedigree.copy()
    mf.Known.from_pedigree(pedigree)
    pd.testing.assert_frame_equal(pedigree, before)
