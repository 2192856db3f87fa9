"""Power of a test by simulation."""
