"""Linear hypotheses about the fixed effects: notation (`parse`), estimability (`estimable`) and tests (`tests`)."""
