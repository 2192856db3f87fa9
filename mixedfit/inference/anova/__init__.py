"""F tests of the terms of the fixed part (`anova`), with the indicator columns of type III (`indicators`)."""
