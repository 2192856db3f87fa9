"""Predictions and simulated responses, with the joint errors of fixed and random effects."""
