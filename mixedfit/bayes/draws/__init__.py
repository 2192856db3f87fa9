"""Posterior draws: the record, named quantities, convergence, predictions, export."""
