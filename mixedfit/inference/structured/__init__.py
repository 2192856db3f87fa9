"""Inference for fits with a residual structure, by dense algebra within independent blocks of rows."""
