"""Rows that are read in batches: sources, what is learnt of them in a first pass, and their matrices.

`source` reads batches; `scan` learns levels, kinds and the state of transforms; `batches` makes the matrices of a
batch, which `crossproducts.streamed` sums.
"""
