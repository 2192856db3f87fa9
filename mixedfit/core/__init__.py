"""Tools that do not depend on models: errors, options, seeds, number formats, linear algebra, data sets."""
