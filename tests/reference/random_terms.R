# Mixed models with several grouping factors behind one bar, and with uncorrelated columns of factors, written out in the
# terms that lme4 1.1 reads: lme4 2 and glmmTMB read the short forms `short`, afex makes the columns of `||`.
#
# Run:  Rscript random_terms.R > random_terms.json

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

i <- 1:240
pseudo <- function(k, s) sin(s * k * 12.9898) # numbers without a pattern, the same in every program
data <- data.frame(
  a = letters[1 + i %% 6], b = LETTERS[1 + (i * 7) %% 5], c = 1 + (i %/% 20) %% 4, f = c("u", "v", "w")[1 + (i * 5 + i %/% 7) %% 3],
  h = c("p", "q")[1 + (i * i) %% 11 %% 2], x = round(3 * cos(1.3 * i), 4)
)
effect <- function(labels, s, size) size * pseudo(as.integer(factor(labels)), s)
data$y <- round(with(
  data,
  2 + 0.3 * x + effect(a, 1.7, 1.5) + effect(b, 2.1, 1) + effect(c, 0.7, 0.8) + effect(paste(a, b), 3.3, 0.9) +
    effect(paste(a, c), 1.1, 0.7) + effect(paste(a, b, c), 0.3, 0.5) + effect(paste(a, f), 2.7, 0.9) +
    effect(paste(a, f, h), 1.9, 0.8) + x * effect(b, 0.9, 0.4) + 0.8 * pseudo(i, 0.77)
), 5)
group <- function(...) factor(paste(..., sep = ":"))
data <- transform(data, ab = group(a, b), ac = group(a, c), bc = group(b, c), abc = group(a, b, c))
F <- model.matrix(~ f * h, data)
colnames(F) <- c("one", "fv", "fw", "hq", "fv_hq", "fw_hq")
S <- model.matrix(~f, data, contrasts.arg = list(f = "contr.sum"))[, -1]
colnames(S) <- c("s1", "s2")
data <- cbind(data, F[, -1], S)

pairs <- list(
  c("(1 | a + b)", "(1 | a) + (1 | b)"),
  c("(x | a + b)", "(x | a) + (x | b)"),
  c("(1 | a*b)", "(1 | a) + (1 | b) + (1 | ab)"),
  c("(1 | (a/b)/c)", "(1 | a) + (1 | ab) + (1 | abc)"),
  c("(1 | a/(b + c))", "(1 | a) + (1 | ab) + (1 | ac)"),
  c("(1 | a:b + c)", "(1 | ab) + (1 | c)"),
  c("(1 | (a + b)/c)", "(1 | a) + (1 | b) + (1 | abc)"),
  c("(1 | a/(b*c))", "(1 | a) + (1 | ab) + (1 | ac) + (1 | abc)"),
  c("(1 | (a + b):c)", "(1 | ac) + (1 | bc)"),
  c("(1 | (a + b + c)^2)", "(1 | a) + (1 | b) + (1 | c) + (1 | ab) + (1 | ac) + (1 | bc)"),
  c("(1 | a*b - a)", "(1 | b) + (1 | ab)"),
  c("(x || a*b)", "(1 | a) + (0 + x | a) + (1 | b) + (0 + x | b) + (1 | ab) + (0 + x | ab)")
)
contrasts <- list(
  c("(f || a)", "(1 | a) + (0 + fv | a) + (0 + fw | a)"),
  c("(f + h || a)", "(1 | a) + (0 + fv | a) + (0 + fw | a) + (0 + hq | a)"),
  c("(f * h || a)", "(1 | a) + (0 + fv | a) + (0 + fw | a) + (0 + hq | a) + (0 + fv_hq | a) + (0 + fw_hq | a)"),
  c("(x + f || a)", "(1 | a) + (0 + x | a) + (0 + fv | a) + (0 + fw | a)"),
  c("(C(f, contr.sum) || a)", "(1 | a) + (0 + s1 | a) + (0 + s2 | a)"),
  c("(f || a + b)", "(1 | a) + (0 + fv | a) + (0 + fw | a) + (1 | b) + (0 + fv | b) + (0 + fw | b)"),
  c("(f || a) + (x | b)", "(1 | a) + (0 + fv | a) + (0 + fw | a) + (x | b)")
)
control <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e6, rhoend = 1e-10))
fitted_by <- function(pair) {
  written <- pair[2]
  fit <- suppressMessages(suppressWarnings(lmer(as.formula(paste("y ~ x +", written)), data, control = control)))
  list(
    short = pair[1], written = written, criterion = unname(REMLcrit(fit)), sigma = sigma(fit), beta = unname(fixef(fit)),
    se = unname(sqrt(diag(as.matrix(vcov(fit))))), sds = sort(unname(as.data.frame(VarCorr(fit))$sdcor[is.na(as.data.frame(VarCorr(fit))$var2)]))
  )
}

cat(toJSON(
  list(
    versions = list(R = paste(R.version$major, R.version$minor, sep = "."), lme4 = as.character(packageVersion("lme4"))),
    data = data[c("a", "b", "c", "f", "h", "x", "y")], groupings = lapply(pairs, fitted_by),
    contrasts = lapply(contrasts, fitted_by)
  ),
  digits = I(12), auto_unbox = TRUE, dataframe = "columns"
))
