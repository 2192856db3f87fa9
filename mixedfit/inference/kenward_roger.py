"""Kenward and Roger's covariance of the fixed effects, degrees of freedom and scaling of F.

Kenward & Roger (1997), Biometrics 53:983, section 2, for V linear in its parameters ψ = (Ω's elements, σ²), as in
pbkrtest (Halekoh & Højsgaard 2014, J. Stat. Softw. 59(9)). With G_i = ∂V/∂ψ_i, M_i = XᵀV⁻¹G_iV⁻¹X and
Q_ij = XᵀV⁻¹G_iV⁻¹G_jV⁻¹X: Φ_A = Φ + 2Φ Σ_ij W_ij (Q_ij − M_iΦM_j) Φ, with W the covariance of ψ̂. All matrices are
sums over levels in units where σ = 1. The derivative of V in σ² follows from V = σ²I + Σ ω_i G_i.

V is not linear in the parameters of structures such as ``ar1``. For these ψ are any parameters, G_i the derivatives at
the estimate, and the terms with second derivatives of V are left out, as by SAS's ``ddfm=kr(firstorder)``: the result
then depends on the model only, not on the choice of its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import row_basis
from mixedfit.core.options import check_one_of
from mixedfit.covariance import BlockDiagonal, ScaledCorrelation
from mixedfit.design.design import Design
from mixedfit.estimation.degenerate import residual_share
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.information import Information
from mixedfit.likelihood.dense_tail import DenseTail

from .satterthwaite import AS_GOOD_AS_NORMAL

__all__ = ["KenwardRoger", "KenwardRogerResult", "check_kenward_roger", "f_scale"]

LARGEST_CROSSED = 4000
"""Largest number of crossed random effects for which the traces tr(V⁻¹G_iV⁻¹G_j) are computed."""


UNKNOWN = 1e-11
"""Information, as a share of what it were if β were known, that is a rounding error.

A combination of variances without information, such as that of a factor that is fixed too, counts as known.
"""


ASYMMETRY = 1e-6
"""Difference between the adjusted covariance and its transpose, as a share of its largest element, that is too much."""


@dataclass(frozen=True, slots=True)
class KenwardRoger:
    """The Kenward–Roger method with its setting.

    Parameters
    ----------
    information : {"expected", "observed"}
        The information matrix whose inverse is the covariance of the variance parameters: expected as in pbkrtest,
        observed as in SAS and JMP. With a residual structure it is the observed one.
    order : {2, 1}
        With a residual structure: with second derivatives of V, as SAS's ``ddfm=kr``, or without, as its
        ``kr(firstorder)``. Without one V is linear in its parameters, and both are the same.
    """

    information: Literal["expected", "observed"] = "expected"
    order: Literal[2, 1] = 2

    def __post_init__(self) -> None:
        check_one_of("information", self.information, ("expected", "observed"))
        if self.order not in (1, 2):
            raise ModelError(
                f"KenwardRoger: order is {self.order!r}; expected 2 (SAS's ddfm=kr) or 1 (firstorder)."
            )


def check_kenward_roger(fit: Fit, *, pairs: bool = True) -> None:
    """Raise for fits for which the method is not available.

    Without `pairs`, only REML is required: no sums over pairs of random effects or of fixed levels will be computed.

    Raises
    ------
    ModelError
        For ML fits, fixed factors stored as codes, more than `LARGEST_CROSSED` crossed random effects, and residual
        variances below `LEAST_SHARE` beside several effects of a level.
    """
    design = fit.design
    if not fit.reml:
        raise ModelError(
            "Kenward-Roger adjusts REML estimates; this is an ML fit. Fit by REML, or use ddf='satterthwaite'."
        )
    if not pairs:
        return
    several = any(block.k > 1 for block in design.blocks)
    if several and residual_share(fit.evaluation, fit.evaluation.criterion) < LEAST_SHARE:
        raise ModelError(
            "Kenward-Roger has too few digits here: beside the random effects almost no residual variance is left. Use "
            "ddf='satterthwaite', and check for a response computed from the groups."
        )
    if fit.cross.pairs is not None:
        raise ModelError(
            "Kenward-Roger needs a factorisation, and this fit was computed by conjugate gradients. Use "
            "ddf='satterthwaite'."
        )
    if design.blocks and design.many:
        factor = design.many[0].grouping
        raise ModelError(
            f"Kenward-Roger is not computed with a fixed factor of many levels: {factor.name!r} has "
            f"{len(factor.levels)}, and the method adjusts the covariance of all of them. Use ddf='satterthwaite', or "
            f"make {factor.name!r} a random effect."
        )
    dense = len(design.blocks) > 1 or any(block.known is not None for block in design.blocks)
    if dense and _effects(design) > LARGEST_CROSSED:
        raise too_many_pairs(design)


def _effects(design: Design) -> int:
    return sum(block.levels * block.k for block in design.blocks)


def too_many_pairs(design: Design) -> ModelError:
    """Return the error for crossed factors with too many random effects."""
    return ModelError(
        f"Kenward-Roger needs products of all pairs of random effects of several factors, or of related levels, "
        f"{_effects(design)} here; it is computed up to {LARGEST_CROSSED}. Use ddf='satterthwaite', whose sums stay "
        "small."
    )


LEAST_SHARE = 1e-6
"""Share of the least-squares residual variance below which sums over pairs of effects lose 4 digits and more."""


@dataclass(frozen=True, eq=False)
class KenwardRogerResult:
    """Kenward–Roger adjusted covariance of the fixed effects and scaling of F for one fit.

    Parameters
    ----------
    information : Information
    kind : {"expected", "observed"}
    """

    information: Information
    kind: Literal["expected", "observed"]

    @lazy
    def elements(self) -> tuple[tuple[Array, ...], Array]:
        """Derivatives of Ω̃ = λ̃λ̃ᵀ in its free elements, by block, and the elements over σ².

        V is linear in them as it is in Ω's own elements, so that the choice of basis changes no result.
        """
        fit = self.information.fit
        blocks, values = [], []
        for f, (block, lam) in enumerate(zip(fit.design.blocks, fit.chart.lams, strict=True)):
            omega, own = lam @ lam.T, []
            if not block.structure.linear:
                tangent = fit.chart.directions[f]
                blocks.append(tangent)
                values += _scaling(fit, f).tolist()
                continue
            for a, b in _free(block.structure):
                unit = np.zeros((block.k, block.k))
                unit[a, b] = unit[b, a] = 1.0
                own.append(unit)
                values.append(omega[a, b])
            blocks.append(np.array(own))
        return tuple(blocks), np.array(values)

    @lazy
    def spreads(self) -> Array:
        """M_i for G_0 = V and G_1, …, G_d of Ω's elements, shape (d + 1, p, p)."""
        own = self.information.spreads(self.elements[0])
        return np.concatenate([np.linalg.inv(self.information.phi)[None], own])

    def _coefficients(self, columns: Sequence[Array]) -> list[Array]:
        """Return E_i times the columns of its block, 0 in other blocks: one array (levels, k, d · columns) a block."""
        directions, cross = self.elements[0], self.information.fit.cross
        total = sum(len(d) for d in directions)
        out, at = [], 0
        for f, (e, own) in enumerate(zip(directions, columns, strict=True)):
            h = cross.related(f, own)
            c = np.zeros((*h.shape[:2], total, h.shape[2]))
            c[:, :, at : at + len(e)] = np.einsum("dab,jbs->jads", e, h)
            at += len(e)
            out.append(c.reshape(*h.shape[:2], -1))
        return out

    @lazy
    def pairs(self) -> Array:
        """Q_ij for G_0 = V and G_1, …, G_d of Ω's elements, shape (d + 1, d + 1, p, p)."""
        p, m = self.information.phi.shape[0], self.spreads
        d = m.shape[0] - 1
        own = self.information.quadratic_forms(
            self._coefficients(self.information.fixed_scores), restricted=False
        )
        out = np.empty((d + 1, d + 1, p, p))
        out[1:, 1:] = own.reshape(d, p, d, p).transpose(0, 2, 1, 3)
        out[0] = m
        out[:, 0] = m
        return out

    @lazy
    def traces(self) -> Array:
        """tr(P G_i P G_j) for G_0 = V and G_1, …, G_d of Ω's elements, shape (d + 1, d + 1)."""
        fit, phi, m, q = self.information.fit, self.information.phi, self.spreads, self.pairs
        single, double = self._plain_traces
        d = single.size
        out = np.empty((d + 1, d + 1))
        projected = m[1:] @ phi
        corrected = double - 2.0 * np.einsum("st,ijts->ij", phi, q[1:, 1:])
        out[1:, 1:] = corrected + np.einsum("ist,jts->ij", projected, projected)
        out[0, 1:] = out[1:, 0] = single - np.einsum("iss->i", projected)
        out[0, 0] = fit.cross.n - fit.cross.p_total
        return out

    @lazy
    def _plain_traces(self) -> tuple[Array, Array]:
        """Return tr(V⁻¹G_i), shape (d,), and tr(V⁻¹G_iV⁻¹G_j), shape (d, d), of Ω's elements."""
        fit = self.information.fit
        directions = self.elements[0]
        if fit.cross.q_tail == 0:
            gram = fit.cross.first.gram
            held = fit.evaluation.tail.mode_blocks(0)
            within = gram - gram @ held @ gram
            left = np.einsum("iab,lbc->ilac", directions[0], within)
            single = np.einsum("ilaa->i", left)
            return single, np.einsum("ilac,jlca->ij", left, left, optimize=True)
        tail = fit.evaluation.tail
        if not isinstance(tail, DenseTail):
            if fit.cross.first_block >= 0:
                raise too_many_pairs(fit.design)
            tail = DenseTail(fit.cross.as_dense(), tail.lams)
        tail.prepare(reml=False)
        psi = tail.psi()
        tail.release()
        return self._dense_traces(psi)

    def _dense_traces(self, psi: Array) -> tuple[Array, Array]:
        fit = self.information.fit
        first = [fit.cross.first_block] if fit.cross.first_block >= 0 else []
        order = first + [b.block for b in fit.cross.tail]
        starts = np.cumsum([0] + [fit.design.blocks[f].levels * fit.design.blocks[f].k for f in order])
        place = {f: slice(int(starts[i]), int(starts[i + 1])) for i, f in enumerate(order)}
        rows = []
        singles = []
        for f, e in enumerate(self.elements[0]):
            row = []
            k = fit.design.blocks[f].k
            for g, other in enumerate(self.elements[0]):
                kg = fit.design.blocks[g].k
                part = psi[place[f], place[g]].reshape(-1, k, fit.design.blocks[g].levels, kg)
                both = np.einsum("jakb,jckd->acbd", part, part, optimize=True)
                row.append(np.einsum("xac,acbd,ybd->xy", e, both, other, optimize=True))
                if f == g:
                    singles.append(np.einsum("xab,jajb->x", e, part))
            rows.append(np.hstack(row))
        return np.concatenate(singles), np.vstack(rows)

    @lazy
    def change(self) -> Array:
        """Matrix from the derivatives (V, G_1, …, G_d) to those in (σ², Ω's elements), shape (d + 1, d + 1)."""
        values = self.elements[1]
        out = np.eye(values.size + 1)
        out[0, 1:] = -values
        return out

    @lazy
    def parameter_covariance(self) -> Array:
        """W: covariance of (σ², Ω's elements) over σ⁴, shape (d + 1, d + 1)."""
        information = 0.5 * self.traces
        if self.kind == "observed":
            information = self._response_forms() - information
        own = self.change @ information @ self.change.T
        if self.information.fit.held_sigma is not None:  # a known variance has no sampling error
            own[0], own[:, 0] = 0.0, 0.0
        size = np.sqrt(np.diag(self._information_of_rows))
        size[size == 0] = 1.0
        scaled = own / np.outer(size, size)
        if not np.isfinite(scaled).all():
            return np.full_like(own, np.nan)
        return np.asarray(np.linalg.pinv(scaled, rcond=UNKNOWN, hermitian=True) / np.outer(size, size))

    @lazy
    def _information_of_rows(self) -> Array:
        """tr(V⁻¹G_iV⁻¹G_j) for (σ², Ω's elements), shape (d + 1, d + 1): the information if β were known."""
        single, double = self._plain_traces
        whole = np.empty((single.size + 1, single.size + 1))
        whole[0, 0], whole[0, 1:], whole[1:, 0], whole[1:, 1:] = (
            self.information.fit.cross.n,
            single,
            single,
            double,
        )
        return np.asarray(self.change @ whole @ self.change.T)

    @lazy
    def root_covariance(self) -> Array:
        """Covariance of (η, log σ²), shape (n_theta + 1, n_theta + 1); without the row and column of σ if σ is held.

        First-order approximation in η (`Chart`). A variance or correlation on its boundary, where Ω has derivative 0,
        counts as known.
        """
        fit = self.information.fit
        turned = np.zeros((fit.theta.size, self.elements[1].size))
        for block, changes, here in zip(
            fit.design.blocks, fit.chart.directions, fit.chart.slices, strict=True
        ):
            if not block.structure.linear:
                turned[here, here] = np.eye(block.structure.n_theta)
                continue
            elements = np.array([changes[:, a, b] for a, b in _free(block.structure)])
            turned[here, here] = np.linalg.pinv(elements, rcond=1e-8)
        scale = np.zeros((1, self.elements[1].size + 1))
        scale[0, 0] = 1.0
        both = np.vstack([np.hstack([-turned @ self.elements[1][:, None], turned]), scale])
        if fit.held_sigma is not None:
            both = both[:-1]
        return np.asarray(both @ self.parameter_covariance @ both.T)

    def _response_forms(self) -> Array:
        """Return yᵀP G_i P G_j P y / σ² for G_0 = V and G_1, …, G_d of Ω's elements, shape (d + 1, d + 1)."""
        fit = self.information.fit
        scores = [s[:, :, None] for s in fit.evaluation.scores]
        scale = fit.evaluation.sigma_squared
        own = self.information.quadratic_forms(self._coefficients(scores), restricted=True) / scale
        d = own.shape[0]
        along = np.concatenate(
            [
                np.einsum("dab,ab->d", e, s[:, :, 0].T @ fit.cross.related(f, s[:, :, 0])) / scale
                for f, (e, s) in enumerate(zip(self.elements[0], scores, strict=True))
            ]
        )
        out = np.empty((d + 1, d + 1))
        out[1:, 1:] = own
        out[0, 1:] = out[1:, 0] = along
        out[0, 0] = fit.evaluation.tail.prss / scale
        return out

    @lazy
    def _changed(self) -> tuple[Array, Array]:
        """M_i and Q_ij for the derivatives in (σ², Ω's elements)."""
        c = self.change
        return (
            np.einsum("ab,bst->ast", c, self.spreads),
            np.einsum("ab,bcst,dc->adst", c, self.pairs, c, optimize=True),
        )

    @lazy
    def adjusted(self) -> Array:
        """Adjusted covariance Φ_A σ² of the estimated columns of X, in units of y and x, shape (p, p)."""
        fit = self.information.fit
        transform = fit.cross.fixed.transform
        return np.asarray(fit.sigma**2 * transform @ self.adjusted_inner @ transform.T)

    @lazy
    def adjusted_inner(self) -> Array:
        """Φ_A in the basis of the cross-products, shape (p, p); NaN where rounding errors make it asymmetric."""
        phi, w = self.information.phi, self.parameter_covariance
        m, q = self._changed
        middle = np.einsum("ij,ijst->st", w, q) - np.einsum("ij,isr,rt,jtu->su", w, m, phi, m, optimize=True)
        out = np.asarray(phi + 2.0 * phi @ middle @ phi)
        if not np.abs(out - out.T).max(initial=0.0) <= ASYMMETRY * np.abs(out).max(initial=0.0):
            return np.full_like(out, np.nan)
        return np.asarray(0.5 * (out + out.T))

    def f_scaling(self, contrasts: Array) -> tuple[float, float]:
        """Return the denominator degrees of freedom and the scale factor of F for contrasts, shape (q, p).

        Kenward & Roger (1997), equations 7 to 9. NaN where no F distribution has the moments that these give.
        """
        fit = self.information.fit
        ell = row_basis(contrasts @ fit.cross.fixed.transform)
        return f_scale(ell, self.information.phi, self._changed[0], self.parameter_covariance)


def f_scale(ell: Array, phi: Array, spreads: Array, w: Array) -> tuple[float, float]:
    """Return the denominator degrees of freedom and the scale factor of F; Kenward & Roger (1997), equations 7 to 9.

    NaN where no F distribution has the moments that these give.

    Parameters
    ----------
    ell : ndarray, shape (q, p)
        Contrasts with orthonormal rows.
    phi, spreads, w : ndarray
        Φ, M_i and W.
    """
    theta = ell.T @ np.linalg.solve(ell @ phi @ ell.T, ell)
    turned = theta @ phi @ spreads @ phi
    q = ell.shape[0]
    single = np.einsum("iss->i", turned)
    a1 = float(single @ w @ single)
    a2 = float(np.einsum("ij,ist,jts->", w, turned, turned, optimize=True))
    if abs(a2) <= 2.0 * q / AS_GOOD_AS_NORMAL:  # no estimated variance enters
        return float("inf"), 1.0
    if not a2 > 0:
        return float("nan"), float("nan")
    if q == 1:  # the formulas below then reduce to this, and lose digits near a2 = 1
        return 2.0 / a2, 1.0
    b = (a1 + 6.0 * a2) / (2.0 * q)
    g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
    below = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / below, (q - g) / below, (q + 2 - g) / below
    shrink, below = 1 - a2 / q, 1 - c2 * b
    ratio = 1.0 if max(abs(shrink), abs(below)) < 1e-10 else shrink / below
    rho = (1 + c1 * b) * ratio**2 / (q * (1 - c3 * b))
    df = 4.0 + (q + 2) / (q * rho - 1.0)
    factor = 1.0 if abs(df - 2.0) < 1e-2 else df * (1 - a2 / q) / (df - 2.0)
    if not (df > 0 and factor > 0):
        return float("nan"), float("nan")
    return float(df), float(factor)


def _scaling(fit: Fit, f: int) -> Array:
    """Return c with Σ_a c_a ∂Ω̃/∂η_a = Ω̃ of a block with a structure that is not linear, shape (n_theta_f,)."""
    structure, eta = fit.design.blocks[f].structure, fit.chart.eta[fit.chart.slices[f]]
    return np.concatenate(
        [
            part.scaling(eta[t]) if isinstance(part, ScaledCorrelation) else 0.5 * eta[t]
            for part, t, _ in structure.slices()
        ]
    )


def _free(structure: BlockDiagonal) -> list[tuple[int, int]]:
    """Return the (row, column) positions of Ω's free elements, term by term."""
    return [
        (a, b)
        for part, _, here in structure.slices()
        for a in range(here.start, here.stop)
        for b in range(here.start, a + 1)
        if a == b or part.invariance == "linear"
    ]
