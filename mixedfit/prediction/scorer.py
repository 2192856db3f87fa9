"""`Scorer`: predictions of single rows in microseconds, and of many rows in batches.

Most formulas are sums of products of columns of numbers and indicators of levels; see `score_plan`. Other formulas, and
rows with anything unusual, such as a new level, take the way of `Means.predict`, which has the errors in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import DataError, a_type, nearest
from mixedfit.core.whole_file import whole_file
from mixedfit.design.design import Design
from mixedfit.design.frames import as_frame
from mixedfit.design.recipe import usable
from mixedfit.design.stream.source import RowSource, is_source, open_source
from mixedfit.estimation import design_storage, storage

from .means import Means
from .re_form import ReForm, included_effects
from .rows import NewLevels
from .score_plan import OtherWayError, effects_of, plan_of, product_of

__all__ = ["Scorer", "read_scorer"]


class Scorer:
    """Predictions of rows by a fit, without standard errors.

    Made by `MixedResults.scorer`. It has the estimates and no rows, and can be saved, or pickled.

    Parameters
    ----------
    means : Means
    re_form : str or sequence of str
    new_levels : {"error", "population", "marginal"}
    """

    def __init__(self, means: Means, re_form: ReForm, new_levels: NewLevels) -> None:
        self.means = means.without_rows()
        self.re_form, self.new_levels = re_form, new_levels
        self._prepare()

    def _prepare(self) -> None:
        included = included_effects(self.means, self.re_form)
        self._needed = _needed(self.means.design, included)
        self._plan = plan_of(self.means, included, self.new_levels)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("means", "re_form", "new_levels")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __repr__(self) -> str:
        return f"<Scorer: {self.means.design.formula.source!r}, columns {', '.join(self._needed)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a row must have."""
        return self._needed

    def __call__(self, rows: Any) -> Any:
        """Return the prediction of one row, or those of several.

        Parameters
        ----------
        rows : mapping of str to values, sequence of these, frame, or mapping of str to arrays
            A row is a mapping of columns to single values; the numbers are those of `MixedResults.predict`.

        Returns
        -------
        float or ndarray, shape (rows,)
        """
        if isinstance(rows, Mapping) and all(
            np.ndim(rows[name]) == 0 for name in self._needed if name in rows
        ):
            return self._one(rows)
        if isinstance(rows, Sequence) and not isinstance(rows, str):
            return np.array([self._numbered(i, row) for i, row in enumerate(rows)])
        return self._many(rows)

    def _numbered(self, i: int, row: Any) -> float:
        """Return the prediction of one row of several; its errors name its position."""
        try:
            return self._one(row)
        except DataError as error:
            raise DataError(f"rows[{i}]: {error}") from None

    def _one(self, row: Mapping[str, Any]) -> float:
        if self._plan is not None:
            try:
                return self._plan.mean(row)
            except (OtherWayError, KeyError, TypeError, ValueError):
                pass
        if not isinstance(row, Mapping):
            raise DataError(f"a row is {a_type(row)}; expected a mapping of columns to values.")
        _check_keys(row, self._needed)
        return float(
            self._predicted(pd.DataFrame({name: [row[name]] for name in self._needed}, index=[0]))[0]
        )

    def _many(self, frame: Any) -> Array:
        fast = self.of_known_levels(frame)
        return self._predicted(frame) if fast is None else fast

    def _predicted(self, frame: Any) -> Array:
        """Return the predictions of `Means.predict`."""
        return np.asarray(self.means.predict(frame, self.re_form, self.new_levels), dtype=np.float64)

    def of_known_levels(self, frame: Any) -> Array | None:
        """Return the predictions of rows whose levels are numbers that the fit has; None for others."""
        plan = self._plan
        if plan is None or any(group.coder is None for group in plan.groups):
            return None
        table, recipe = as_frame(frame, list(self._needed)), usable(self.means.design.recipe)
        coded = []
        for group in plan.groups:
            column = table[group.columns[0]]
            assert group.coder is not None
            if not isinstance(column.dtype, np.dtype) or column.dtype.kind != "i":
                return None
            try:
                coded.append(group.coder.codes(column))
            except DataError:  # a new level
                return None
        X, _ = recipe.fixed_rows(table)
        mean = X @ np.nan_to_num(self.means.beta)
        if plan.offset is not None:
            mean += table[plan.offset].to_numpy(dtype=np.float64, na_value=np.nan)
        for group, codes in zip(plan.groups, coded, strict=True):
            mean += product_of(group, X, codes, partial(effects_of, recipe, group, table))
        return np.asarray(mean)

    def save(self, path: str | Path) -> None:
        """Write the scorer to a file (npz) that holds numbers and text only; `mixedfit.load` reads it.

        Raises
        ------
        DataError
            If labels cannot be stored, or the file cannot be written.
        ModelError
            If the formula calls functions that a formula from a file may not call.
        """
        header = {"kind": "scorer", "re_form": self.re_form, "new_levels": self.new_levels}
        own = self.means
        arrays = {"beta": own.beta, "null": own.null}
        arrays |= {f"modes{f}": modes for f, modes in enumerate(own.modes)}
        storage.write_file(path, *design_storage.with_design(header, arrays, own.design))

    def batches(self, source: Any, *, batch_rows: int | None = None) -> Iterator[Array]:
        """Yield the predictions of a source's rows, an array for each batch.

        Parameters
        ----------
        source : path, dataset, lazy frame, iterable of frames or frame
            As in `lmm`; read once, the needed columns only.
        batch_rows : int, optional
            Rows of a batch; by default 262,144.
        """
        rows = _opened(source, batch_rows)
        for batch in rows.batches(list(self._needed) or list(rows.columns[:1])):
            yield self._many(batch)

    def to_parquet(
        self, source: Any, path: str | Path, *, keep: str | Sequence[str] = (), batch_rows: int | None = None
    ) -> None:
        """Write the predictions of a source's rows to a Parquet file, column "mean", one batch after the other.

        Parameters
        ----------
        source, batch_rows
            As in `batches`.
        path : str or Path
        keep : str or sequence of str
            Columns of the source that are written beside, such as keys; not "mean".

        Raises
        ------
        DataError
            If pyarrow is not installed, the rows have no such column, or the file cannot be written.
        """
        try:
            import pyarrow as pa
            from pyarrow.parquet import ParquetWriter
        except ImportError:
            raise DataError(
                "Parquet files are written with pyarrow: pip install 'mixedfit[stream]'."
            ) from None
        rows, keep = _opened(source, batch_rows), [keep] if isinstance(keep, str) else list(keep)
        _check_kept(keep, rows)
        names = list(dict.fromkeys([*self._needed, *keep])) or list(rows.columns[:1])
        try:
            with whole_file(path) as file:
                writer: Any = None
                for batch in rows.batches(names):
                    own = (
                        as_frame(batch, list(keep))[list(keep)]
                        if keep
                        else pd.DataFrame(index=range(len(batch)))
                    )
                    table = pa.Table.from_pandas(own.assign(mean=self._many(batch)), preserve_index=False)
                    writer = writer or ParquetWriter(file, table.schema, write_page_checksum=True)
                    writer.write_table(table.cast(writer.schema))
                if writer is not None:
                    writer.close()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot write {str(path)!r}: {error}") from None


def _check_keys(row: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Raise `DataError` if a row lacks a column, with the key that may be meant."""
    missing = [name for name in needed if name not in row]
    if not missing:
        return
    unused = [str(key) for key in row if key not in needed]
    alike = {key.casefold(): key for key in unused}
    hints = [
        f"Did you mean {alike[name.casefold()]!r} for {name!r}?"
        if name.casefold() in alike
        else nearest(name, unused)
        for name in missing
    ]
    listed = ", ".join(map(repr, missing))
    raise DataError(
        f"the row has no {listed} (its keys: {', '.join(map(str, row)) or 'none'}; needed: {', '.join(needed)}). "
        f"{' '.join(filter(None, hints))}".rstrip()
    )


def _check_kept(keep: Sequence[str], rows: RowSource) -> None:
    """Raise `DataError` for columns to keep that the rows lack, or whose name is that of the predictions."""
    missing = next((name for name in keep if name not in rows.columns), None)
    if missing is not None:
        hint = nearest(missing, list(rows.columns))
        raise DataError(
            f"keep= has {missing!r}, which is no column of {rows.name} (columns: {', '.join(rows.columns[:20])}). "
            f"{hint}".rstrip()
        )
    if "mean" in keep:
        raise DataError(
            "keep= has 'mean', which is the name of the column of predictions. Rename the column of the source."
        )


def _opened(source: Any, batch_rows: int | None) -> RowSource:
    return open_source(source if is_source(source) else [source], batch_rows)


def _needed(design: Design, included: Sequence[BoolArray]) -> tuple[str, ...]:
    """Return the columns that predictions need."""
    recipe = usable(design.recipe)
    own = [f for f, effects in enumerate(included) if effects.any()]
    names = [*recipe.needed(own), *(column for f in own for column in recipe.groups[f].columns)]
    if isinstance(recipe.offset, str):
        names.append(recipe.offset)
    return tuple(dict.fromkeys(names))


def read_scorer(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Scorer:
    """Return the scorer in a file that `Scorer.save` wrote."""
    design = design_storage.design_without_rows(header, arrays, "a scorer has the estimates only.")
    modes = tuple(arrays[f"modes{f}"] for f in range(len(design.blocks)))
    re_form = header["re_form"]
    return Scorer(Means(design, arrays["beta"], modes, arrays["null"]), re_form, header["new_levels"])
