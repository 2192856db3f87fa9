# Names of R's model matrices and lme4's coef(), stored in names.json.
# Run: Rscript tests/reference/names.R  (in the project's folder; needs lme4, jsonlite)
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
d <- expand.grid(A = c("a1", "a2", "a3", "a4"), tos = c(1, 2, 3.5), trt = c("N", "Y"), r = 1:3)
d$h <- c("u", "v", "w")[1 + (seq_len(nrow(d)) * 7) %% 3]
d$g <- (seq_len(nrow(d)) * 5) %% 8
d$y <- round(sin(seq_len(nrow(d))^2) + 0.3 * d$g + 0.2 * d$tos * (d$g %% 3), 6)
for (name in c("A", "trt", "h", "g")) d[[name]] <- factor(d[[name]])
formulas <- list(
  ~ trt * tos, ~ tos * trt, ~ tos + trt + trt:tos, ~ trt + tos + tos:trt, ~ tos:trt, ~ trt:tos, ~ tos + trt:tos,
  ~ A + tos:A + tos, ~ trt + A:tos:trt, ~ h + (trt + A) * h, ~ tos + log(tos):trt + trt, ~ trt + tos:I(tos^2):trt,
  ~ A / trt, ~ C(A, contr.sum), ~ C(A, contr.helmert), ~ C(A, contr.poly), ~ 0 + C(A, contr.sum),
  ~ C(A, contr.sum) * trt, ~ trt * C(A, contr.helmert), ~ C(A, contr.sum):tos, ~ tos * C(A, contr.sum),
  ~ C(A, contr.sum) * C(trt, contr.sum) + tos, ~ poly(tos, 2) * C(A, contr.sum), ~ A * C(h, contr.helmert) * trt
)
named <- lapply(formulas, function(f) list(formula = deparse1(f), names = colnames(model.matrix(f, d))))
models <- list(
  y ~ trt * tos + (tos | g), y ~ tos + (1 | g) + (trt | h), y ~ tos + trt + trt:tos + (0 + tos | g) + (1 | h),
  y ~ 1 + (tos | g) + (0 + trt | h), y ~ tos * trt + (1 | h) + (0 + tos:trt | g)
)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
coefs <- lapply(models, function(f) {
  fit <- suppressMessages(lmer(f, d, control = tight))
  list(formula = deparse1(f), tables = lapply(coef(fit), function(t) list(levels = I(rownames(t)), columns = I(names(t)), values = as.matrix(unname(t)))))
})
versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")))
writeLines(toJSON(list(versions = versions, data = d, names = named, coefs = coefs), digits = 12, auto_unbox = TRUE), "tests/reference/names.json")
