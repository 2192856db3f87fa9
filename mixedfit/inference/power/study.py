"""Designs of studies before there are data: assumed parameters, simulated responses, other sample sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, FormulaError, ModelError, a_type, nearest
from mixedfit.covariance import ScaledCorrelation
from mixedfit.covariance.residual import ResidualStructure
from mixedfit.design.design import Design, RandomBlock, build_design
from mixedfit.design.frames import as_frame, column_names
from mixedfit.design.model_frame import names_by_part, names_of
from mixedfit.design.residual_rows import check_structure
from mixedfit.estimation.parameters import Parameter, variance_parameters
from mixedfit.estimation.simulate import colour_by, marginal_draws
from mixedfit.formula.parse import Expand, ParsedFormula, parse_formula
from mixedfit.formula.tokens import plain_name

from .assumed_residual import residual_names, residual_parameters, with_means

__all__ = [
    "AssumedParameters",
    "Study",
    "drawn_table",
    "read_parameters",
    "study_of",
]


@dataclass(frozen=True, eq=False)
class AssumedParameters:
    """Parameters of a model, assumed instead of estimated.

    Attributes
    ----------
    beta : ndarray, shape (p,)
        Fixed effects, levels of factors stored as codes last.
    roots : tuple of ndarray, shape (k, k)
        A matrix with root rootᵀ = Ω for each block.
    sigma : float
        Residual standard deviation.
    thetas : tuple of ndarray or None
        θ of the blocks with a structure such as ``ar1``; None for others.
    residual : ndarray or None
        Unconstrained parameters of the residual structure.
    """

    beta: Array
    roots: tuple[Array, ...]
    sigma: float
    thetas: tuple[Array | None, ...] = ()
    residual: Array | None = None

    def mean(self, design: Design) -> Array:
        """Return Xβ for the rows of a design, without its offset, shape (n,)."""
        at = len(design.x_names)
        out = design.X @ self.beta[:at]
        for factor in design.many:
            effects = np.concatenate([np.zeros(factor.first), self.beta[at : at + len(factor.names)]])
            out = out + effects[factor.grouping.codes]
            at += len(factor.names)
        return np.asarray(out)

    def draw(self, design: Design, n: int, rng: np.random.Generator) -> Array:
        """Return simulated responses without offset, shape (n, rows), without residual in rows of weight 0."""
        scale = np.full(design.n, self.sigma)
        if design.weights is not None:
            positive = design.weights > 0
            scale = np.where(positive, self.sigma / np.sqrt(np.where(positive, design.weights, 1.0)), 0.0)
        mean, colour = self.mean(design), None
        structure = with_means(design, mean)
        if structure is not None and self.residual is not None:
            colour = colour_by(structure.root(self.residual))
        return marginal_draws(design, mean, self.roots, scale, n=n, rng=rng, colour=colour).T

    def theta(self, design: Design) -> Array:
        """Return θ, shape (n_theta,)."""
        given = self.thetas or (None,) * len(self.roots)
        parts = [
            block.structure.theta_from_root(root / self.sigma) if own is None else own
            for block, root, own in zip(design.blocks, self.roots, given, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True, eq=False)
class Study:
    """A design without a response.

    Attributes
    ----------
    design : Design
        Design with zeros for y. Its index holds positions of rows of the data.
    frame : pandas.DataFrame
        The columns that the design uses, and zeros for the response.
    formula : str
        The formula from which the design was built.
    response : str
        Left side of the formula as the user wrote it.
    index : pandas.Index
        Labels of the rows of the data.
    options : mapping
        Weights, offset, context and residual structure.
    """

    design: Design
    frame: pd.DataFrame
    formula: str
    response: str
    index: pd.Index[Any]
    options: Mapping[str, Any]

    def on(self, frame: pd.DataFrame) -> Study:
        """Return the study with other rows."""
        parsed = parse_formula(self.formula, expand=self.design.formula.expand)
        design = build_design(parsed, frame, **self.options)
        return Study(design, frame, self.formula, self.response, frame.index, self.options)


def study_of(
    formula: str,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
) -> Study:
    """Return the design of a formula, for data with or without the response, which is ignored.

    Parameters
    ----------
    formula : str
        The left side may be missing.
    data, weights, offset, expand, context, residual
        As in `lmm`.
    """
    structure = check_structure(residual)
    if isinstance(formula, str) and formula.lstrip().startswith("~"):
        formula = f"response {formula.lstrip()}"
    parsed = parse_formula(formula, expand=expand)
    names = [*_predictors(parsed, column_names(data)), *_residual_columns(structure, column_names(data))]
    columns = [v for v in (weights, offset) if isinstance(v, str)]
    table = as_frame(data, [*names, *columns] or column_names(data)[:1])
    frame = table[[*dict.fromkeys([*names, *columns])]].reset_index(drop=True)
    response, text = parsed.response, formula
    if plain_name.fullmatch(response) is None:
        response = next(f"response{'_' * i}" for i in range(99) if f"response{'_' * i}" not in names)
        text = f"{response} ~{formula.split('~', 1)[1]}"
    if response in names:
        raise ModelError(
            f"the response {response!r} is also a predictor; the response is drawn. Rename one of them."
        )
    frame[response] = np.zeros(len(frame))
    options = {"weights": weights, "offset": offset, "context": context, "residual": structure}
    design = build_design(parse_formula(text, expand=expand), frame, **options)
    return Study(design, frame, text, parsed.response, table.index, options)


def _residual_columns(structure: ResidualStructure | None, columns: Sequence[str]) -> list[str]:
    """Return the columns that a residual structure needs; raise for a name without a column."""
    names = [] if structure is None else list(structure.columns)
    for name in (name for name in names if name not in columns):
        raise DataError(
            f"{structure}: no column {name!r} in the data (columns: {', '.join(columns[:20])}). "
            f"{nearest(name, columns)}".rstrip()
        )
    return names


def _predictors(parsed: ParsedFormula, columns: Sequence[str]) -> list[str]:
    """Return the columns of the data that the right side names; raise for a name without a column."""
    names = [name for key, part in names_by_part(parsed).items() if key != "y" for name in part]
    names += [column for term in parsed.random for column in term.group.columns]
    required = {name for name, needed in names_of(parsed) if needed}
    for name in (name for name in names if name in required and name not in columns):
        span = parsed.locate(name) or (None, None)
        raise FormulaError(
            f"no column {name!r} in the data (columns: {', '.join(columns[:20])}).",
            source=parsed.source,
            start=span[0],
            end=span[1],
            advice=nearest(name, columns),
        )
    return [name for name in dict.fromkeys(names) if name in columns]


def read_parameters(design: Design, params: Any) -> AssumedParameters:
    """Return the parameters of a design from a mapping or a fit.

    Parameters
    ----------
    design : Design
    params : mapping, Series or fit
        Fixed effects by name, or as an array "beta"; standard deviations and correlations by their names in
        `conf_int`, or θ as an array "theta"; "sigma". Correlations are 0 by default.

    Raises
    ------
    ModelError
        If a name is unknown, a parameter is missing, or the values define no covariance matrix.
    """
    if callable(getattr(params, "parameters", None)):
        # NaN are dropped columns and correlations with a variance of 0
        params = params.parameters("long").fillna(0.0)
    if not isinstance(params, Mapping | pd.Series):
        raise ModelError(
            f"params is {a_type(params)}; expected a fit, or a mapping such as {_template(design)}."
        )
    values = {str(name): value for name, value in params.items()}
    names = _coefficient_names(design)
    parameters = variance_parameters(design)
    beta = _vector("beta", values, names)
    if beta is None:
        beta = np.array([_number(name, values.pop(name, None), design) for name in names])
    sigma = _take(parameters[-1], values, design)
    if not sigma > 0:
        raise ModelError(f"sigma is {sigma:g}; a residual standard deviation must be a positive number.")
    theta = _vector("theta", values, list(design.theta_names))
    thetas: list[Array | None] = [None] * len(design.blocks)
    if theta is not None:
        slices = list(zip(design.blocks, design.theta_slices, strict=True))
        roots = [sigma * block.structure.factor(theta[here]) for block, here in slices]
        thetas = [None if block.structure.linear else theta[here] for block, here in slices]
    else:
        for f, block in enumerate(design.blocks):
            if not block.structure.linear:
                thetas[f] = _structured_theta(design, f, parameters[:-1], values, sigma)
        roots = _roots(design, parameters[:-1], values, thetas, sigma)
    inner = residual_names(design)
    own = np.array([_number(name, values.pop(name, None), design) for name in inner])
    x = None if design.residual is None else residual_parameters(design.residual, own)
    if values:
        every = [*names, *(p.long_name for p in parameters), *inner, "beta", "theta"]
        wrong = next(iter(values))
        also = " beside theta" if theta is not None else ""
        raise ModelError(
            f"params has {wrong!r}{also}, which is not a parameter of this model; expected "
            f"{_template(design)}. {nearest(wrong, every)}".rstrip()
        )
    return AssumedParameters(beta, tuple(roots), sigma, tuple(thetas), x)


def _coefficient_names(design: Design) -> list[str]:
    return [*design.x_names, *(name for factor in design.many for name in factor.names)]


def _vector(name: str, values: dict[str, Any], labels: Sequence[str]) -> Array | None:
    """Pop an array of parameters; None if it is not there."""
    if name not in values or name in labels:
        return None
    value = values.pop(name)
    if isinstance(value, Mapping):
        if set(value) != set(labels):
            raise ModelError(f"{name} names {sorted(map(str, value))}; expected {list(labels)}.")
        value = [value[label] for label in labels]
    array = np.asarray(value, dtype=float).reshape(-1)
    if array.size != len(labels) or not np.all(np.isfinite(array)):
        raise ModelError(f"{name} is {value!r}; expected {len(labels)} finite numbers: {', '.join(labels)}.")
    return array


def _take(
    parameter: Parameter, values: dict[str, Any], design: Design, default: float | None = None
) -> float:
    """Pop one parameter, under any of its names."""
    for name in (parameter.name, parameter.long_name, parameter.words):
        if name in values:
            return _number(name, values.pop(name), design)
    return _number(parameter.long_name, default, design)


def _number(name: str, value: Any, design: Design) -> float:
    if value is None:
        raise ModelError(f"params lacks {name!r}; expected {_template(design)}.")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise ModelError(f"{name!r} is {value!r}; expected a finite number.")
    return number


def _structured_theta(
    design: Design, f: int, parameters: Sequence[Parameter], values: dict[str, Any], sigma: float
) -> Array:
    """Return θ of a block with a structure such as ``ar1``, from natural parameters."""
    block, parts = design.blocks[f], []
    own = [p for p in parameters if p.block == f]
    for part, t, here in block.structure.slices():
        if not isinstance(part, ScaledCorrelation):
            inside = [p for p in own if p.place < 0 and here.start <= p.first < here.stop]
            parts.append(part.theta_from_root(_root(block, inside, values, design)[here, here] / sigma))
            continue
        natural = [p for p in own if t.start <= p.place < t.stop]
        given = np.array(
            [_take(p, values, design, 0.0 if p.kind == "correlation" else None) for p in natural]
        )
        for p, value in zip(natural, given, strict=True):
            if not p.lower <= value <= p.upper:
                raise ModelError(f"{p.long_name!r} is {value:g}; expected {p.lower:g} to {p.upper:g}.")
        sds = given[: part.n_sd] / sigma
        theta = part.theta_of(np.broadcast_to(sds, (part.k,)), part.parameters(*given[part.n_sd :].tolist()))
        if not np.all(np.isfinite(theta)):
            raise ModelError(
                f"the parameters of {part.name}(… | {block.name}) belong to no covariance matrix."
            )
        parts.append(theta)
    return np.concatenate(parts)


def _roots(
    design: Design,
    parameters: Sequence[Parameter],
    values: dict[str, Any],
    thetas: Sequence[Array | None],
    sigma: float,
) -> list[Array]:
    """Return a root of Ω for each block, from standard deviations and correlations."""
    out = []
    for f, (block, theta) in enumerate(zip(design.blocks, thetas, strict=True)):
        if theta is not None:
            out.append(sigma * block.structure.factor(theta))
            continue
        root = _root(block, [p for p in parameters if p.block == f], values, design)
        out.append(block.structure.factor(block.structure.theta_from_root(root)))
    return out


def _root(
    block: RandomBlock, parameters: Sequence[Parameter], values: dict[str, Any], design: Design
) -> Array:
    """Return a root of Ω of a block from standard deviations and correlations; 0 for effects not among them."""
    correlations, deviations = np.eye(block.k), np.zeros(block.k)
    for parameter in parameters:
        default = 0.0 if parameter.kind == "correlation" else None
        value = _take(parameter, values, design, default)
        if parameter.kind == "sd":
            if value < 0:
                raise ModelError(
                    f"{parameter.long_name!r} is {value:g}; a standard deviation is not negative."
                )
            deviations[parameter.first] = value
        else:
            i, j = parameter.first, parameter.second
            correlations[i, j] = correlations[j, i] = value
    eigenvalues, vectors = np.linalg.eigh(correlations)
    if eigenvalues.min() < -1e-9:
        raise ModelError(
            f"the correlations of {block.name!r} belong to no covariance (smallest eigenvalue "
            f"{eigenvalues.min():.3g}); they must lie between -1 and 1 and agree with each other."
        )
    return np.asarray(deviations[:, None] * (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))))


def _template(design: Design) -> str:
    """Return an example of `params` for error messages."""
    names = _coefficient_names(design)
    shown = [*names[:12], *(["…"] if len(names) > 12 else [])]
    shown += [p.long_name for p in variance_parameters(design)]
    inner = residual_names(design)
    shown += [*inner[:12], *(["…"] if len(inner) > 12 else [])]
    return "{" + ", ".join(f"'{name}': …" if name != "…" else name for name in shown) + "}"


def drawn_table(study: Study, drawn: Array, names: Sequence[str]) -> pd.DataFrame:
    """Return draws, shape (n, complete rows), as a table of all rows of the data, NaN if a predictor is missing."""
    if len(study.index) == 0:
        raise DataError("the data have no rows.")
    out = np.full((len(study.index), len(names)), np.nan)
    out[study.design.index.to_numpy()] = drawn.T
    return pd.DataFrame(out, index=study.index, columns=list(names))
