"""Tools without knowledge of models: errors, options, seeds, number formats, linear algebra, data sets."""
