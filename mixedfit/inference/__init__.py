"""One room for each question that a fit can be asked; each is a function of a fit."""
