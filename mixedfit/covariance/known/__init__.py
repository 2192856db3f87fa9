"""Known relationships between the levels of a grouping factor: pedigrees, genomic, phylogenetic, spatial matrices."""

from .relationship import Known

__all__ = ["Known"]
