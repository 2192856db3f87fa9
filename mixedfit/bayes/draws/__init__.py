"""Draws of a posterior, and what is computed from them."""
