"""Compiled loops over rows and groups: arrays in, arrays out, nothing checked."""
