"""Linear hypotheses about the fixed effects: how they are written, whether they are estimable, their tests."""
