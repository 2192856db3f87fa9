"""Case deletion: estimates without one row or one level."""
