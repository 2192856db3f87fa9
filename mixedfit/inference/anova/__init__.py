"""F tests of the terms of the fixed part."""
