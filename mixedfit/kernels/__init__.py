"""Compiled loops on bare arrays, without checks of their input."""
