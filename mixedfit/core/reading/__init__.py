"""Files as data frames: formats (`files`), dialects of text (`dialect`), marks of missing values (`missing`).

pandas and its readers do the reading; the modules here decide with which options.
"""
