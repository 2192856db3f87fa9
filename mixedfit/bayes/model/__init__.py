"""What may differ from normal errors with one σ."""
