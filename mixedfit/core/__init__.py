"""What knows nothing of models: errors, array types, options, seeds, number formats, linear algebra, data sets."""
