"""Parametric, residual and case bootstrap."""
