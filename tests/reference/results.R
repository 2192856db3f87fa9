# What lme4's lmer, R's lm and a likelihood written out for optim report for models of data that ship.
#
# Run:  Rscript results.R > results.json
#
# Every fit is optimised twice, by bobyqa and by nlminb, at tight tolerances; the lower criterion is kept, and the
# script stops where the two differ by more than 1e-7. `postVar` lists Var(b | y) level by level.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
options(digits = 15)

bobyqa <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10))
nlminb <- lmerControl("nlminbwrap", optCtrl = list(eval.max = 1e5, iter.max = 1e5, rel.tol = 1e-15, x.tol = 1e-12))

quietly <- function(expression) suppressMessages(suppressWarnings(expression))

fitted_model <- function(formula, data, reml, ...) {
  fits <- lapply(list(bobyqa, nlminb), function(control) {
    quietly(do.call(lmer, list(formula, data, REML = reml, control = control, ...)))
  })
  criteria <- sapply(fits, function(fit) -2 * as.numeric(logLik(fit)))
  stopifnot(abs(diff(criteria)) < 1e-7)
  fits[[which.min(criteria)]]
}

rows <- function(matrix) unname(lapply(seq_len(nrow(matrix)), function(i) unname(matrix[i, ])))

levels_of <- function(fit) {
  modes <- ranef(fit, condVar = TRUE)
  coefs <- coef(fit)
  lapply(setNames(names(modes), names(modes)), function(name) {
    table <- modes[[name]]
    cov <- attr(table, "postVar")
    if (is.list(cov)) cov <- NULL
    list(
      levels = rownames(table), effects = names(table), modes = rows(as.matrix(table)),
      postVar = if (!is.null(cov)) lapply(seq_len(dim(cov)[3]), function(j) rows(as.matrix(cov[, , j]))),
      coef_names = names(coefs[[name]]), coef = rows(as.matrix(coefs[[name]]))
    )
  })
}

report <- function(formula, data, reml = TRUE, keep = "levels", ...) {
  fit <- fitted_model(formula, data, reml, ...)
  wald <- confint(fit, parm = "beta_", method = "Wald")
  components <- as.data.frame(VarCorr(fit))
  out <- list(
    formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), reml = reml, nobs = nobs(fit),
    names = names(fixef(fit)), params = unname(fixef(fit)), bse = unname(sqrt(diag(as.matrix(vcov(fit))))),
    cov_params = rows(as.matrix(vcov(fit))), lower = unname(wald[, 1]), upper = unname(wald[, 2]),
    sigma = sigma(fit), theta_names = names(getME(fit, "theta")), theta = unname(getME(fit, "theta")),
    llf = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit), df_resid = df.residual(fit),
    deviance = -2 * as.numeric(logLik(fit, REML = FALSE)), reml_criterion = -2 * as.numeric(logLik(fit, REML = TRUE)),
    varcorr = components[c("grp", "var1", "var2", "vcov", "sdcor")], singular = isSingular(fit)
  )
  if ("rows" %in% keep) out <- c(out, list(fitted = unname(fitted(fit)), resid = unname(residuals(fit)),
    fixed_part = unname(predict(fit, re.form = NA)), scaled_resid = unname(residuals(fit, "pearson", scaled = TRUE))))
  if ("levels" %in% keep) out$levels <- levels_of(fit)
  if ("modes" %in% keep) out$levels <- lapply(levels_of(fit), function(level) level[c("levels", "effects", "modes")])
  out
}

linear <- function(formula, data) {
  fit <- lm(formula, data)
  list(
    formula = deparse(formula), names = names(coef(fit)), params = unname(coef(fit)),
    bse = unname(sqrt(diag(vcov(fit)))), sigma = sigma(fit), deviance = -2 * as.numeric(logLik(fit)),
    reml_criterion = -2 * as.numeric(logLik(fit, REML = TRUE))
  )
}

# Log relative risks of 13 trials of the BCG vaccine; Colditz et al. (1994), JAMA 271:698, table 1.
bcg <- data.frame(
  trial = 1:13,
  tpos = c(4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27),
  tneg = c(119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886),
  cpos = c(11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29),
  cneg = c(128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825)
)
bcg$yi <- with(bcg, log(tpos / (tpos + tneg)) - log(cpos / (cpos + cneg)))
bcg$vi <- with(bcg, 1 / tpos - 1 / (tpos + tneg) + 1 / cpos - 1 / (cpos + cneg))

# y_i ~ N(mu, tau2 + v_i): -2 log-likelihood, or with log(sum w) its REML counterpart, minimised over tau2.
meta <- function(y, v, reml) {
  criterion <- function(tau2) {
    w <- 1 / (tau2 + v)
    mu <- sum(w * y) / sum(w)
    (length(y) - reml) * log(2 * pi) - sum(log(w)) + sum(w * (y - mu)^2) + reml * log(sum(w))
  }
  start <- optimize(criterion, c(0, 10), tol = 1e-10)$minimum
  best <- optim(start, criterion, method = "BFGS", control = list(reltol = 1e-16))
  w <- 1 / (best$par + v)
  mu <- sum(w * y) / sum(w)
  list(tau2 = best$par, mu = mu, se = 1 / sqrt(sum(w)), criterion = best$value, blup = mu + best$par * w * (y - mu))
}

sleep <- sleepstudy
sleep$w <- 0.5 + sleep$Days %% 3
sleep$base <- 2 * sleep$Days + as.integer(sleep$Subject)
counted <- subset(sleep, Days %% 4 != 1)
gap <- sleep
gap$Reaction[c(3, 50)] <- NA
gap$Days[117] <- NA
few <- droplevels(subset(InstEval, as.integer(as.character(s)) <= 150))
machines <- read.csv("../../data/Machines.csv", colClasses = c(Worker = "factor", Machine = "factor"))

both <- c("rows", "levels")

fits <- list(
  sleepstudy = report(Reaction ~ Days + (Days | Subject), sleep, keep = both),
  sleepstudy_ml = report(Reaction ~ Days + (Days | Subject), sleep, FALSE),
  sleepstudy_independent = report(Reaction ~ Days + (Days || Subject), sleep, keep = "modes"),
  sleepstudy_weights = report(Reaction ~ Days + (Days | Subject), sleep, keep = both, weights = sleep$w),
  sleepstudy_without_days = report(Reaction ~ Days + (Days | Subject), counted, weights = counted$w),
  sleepstudy_offset = report(Reaction ~ Days + (1 | Subject), sleep, keep = "rows", offset = sleep$base),
  sleepstudy_offset_term = report(Reaction ~ Days + offset(base) + (1 | Subject), sleep),
  sleepstudy_missing = report(Reaction ~ Days + (1 | Subject), gap, keep = "rows"),
  sleepstudy_rank = report(Reaction ~ Days + I(2 * Days) + I(Days * Days) + (1 | Subject), sleep),
  pastes = report(strength ~ 1 + (1 | batch/cask), Pastes, keep = both),
  pastes_ml = report(strength ~ 1 + (1 | sample) + (1 | batch), Pastes, FALSE),
  penicillin = report(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
  penicillin_fixed_plate = report(diameter ~ plate + (1 | sample), Penicillin),
  dyestuff2 = report(Yield ~ 1 + (1 | Batch), Dyestuff2),
  machines = report(score ~ Machine + (Machine | Worker), machines),
  machines_without_intercept = report(score ~ Machine + (0 + Machine | Worker), machines, FALSE),
  machines_nested = report(score ~ 0 + Machine + (1 | Worker/Machine), machines),
  cake = report(angle ~ recipe * temp + (1 | recipe:replicate) + (1 | replicate), cake),
  insteval = report(y ~ service + (1 | s) + (1 | d) + (1 | dept), few, keep = "modes")
)

json <- function(value) {
  toJSON(value, digits = I(12), auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns")
}
lines <- function(entries) paste0('"', names(entries), '": ', sapply(entries, json), collapse = ",\n")

made_by <- list(script = "results.R", R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  jsonlite = as.character(packageVersion("jsonlite")))
lm_fits <- list(cake = linear(angle ~ recipe * temp, cake), sleepstudy = linear(Reaction ~ Days, sleepstudy))
trials <- c(as.list(bcg[c("trial", "yi", "vi")]), list(reml = meta(bcg$yi, bcg$vi, TRUE), ml = meta(bcg$yi, bcg$vi, FALSE)))
cat("{\n", lines(c(list(made_by = made_by), fits)), ",\n", lines(list(lm = lm_fits, bcg = trials)), "\n}\n", sep = "")
