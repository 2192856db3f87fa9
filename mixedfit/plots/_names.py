"""Names of a fit's response, variables, random effects and levels as a picture shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mixedfit.core.format import without_quotes
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import Named, effect_names, group_label, label_of, labels_for, level_label

from ._text import level_words

__all__ = ["PictureNames", "picture_names"]


@dataclass(frozen=True, eq=False)
class PictureNames:
    """Names in a picture of a fit: texts of `labels` where there are some, else the formula's names.

    Attributes
    ----------
    fit : Fit, or NamedDesign of a posterior
    labels : mapping of str to str
        Texts by name, checked.
    """

    fit: Named
    labels: Mapping[str, str]

    @property
    def response(self) -> str:
        """Name of the response."""
        return label_of(self.fit.formula.split("~", 1)[0].strip(), self.labels)

    def variable(self, name: str) -> str:
        """Return the name of a variable."""
        return label_of(name, self.labels) if self.labels else name

    def group(self, block: int) -> str:
        """Return the name of a grouping factor, given the position of its block."""
        return group_label(self.fit.design.blocks[block].name, self.labels)

    def effect(self, block: int, effect: int) -> str:
        """Return the name of a random effect, given the positions of its block and of the effect."""
        if self.labels:
            return effect_names(self.fit, block, self.labels)[effect]
        return without_quotes(self.fit.design.blocks[block].effects[effect])

    def levels(self, levels: Iterable[Any]) -> list[str]:
        """Return levels as text, long ones shortened."""
        return level_words([self.level(level) for level in levels])

    def level(self, level: Any) -> Any:
        """Return the label of a level, or the level itself where it has none."""
        own = level_label(level, self.labels)
        return level if own == level_label(level, None) else own


def picture_names(fit: Fit, labels: Mapping[Any, str] | None) -> PictureNames:
    """Return the names for a picture of a fit.

    Raises
    ------
    ModelError
        If a key of labels is not a name of the fit.
    """
    return PictureNames(fit, labels_for(fit, labels))
