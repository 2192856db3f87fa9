# What lme4's predict says of new rows, and the errors of its predictions.
#
# Run:  Rscript predict.R > predict.json
#
# `se` is lme4's joint covariance of fixed and random effects, s^2 blockdiag(Lambda, I) C^-1 blockdiag(Lambda', I), C the
# matrix of the mixed-model equations, written out as a dense matrix from its X, Z and Lambda (lme4 1.1-31 has no se.fit).
# `postVar` is lme4's conditional covariance of the random effects. theta is stored because optimisers stop at different
# places; a comparison to 1e-6 has to start from the same theta.

suppressPackageStartupMessages({
  library(lme4)
  library(splines)
  library(jsonlite)
})
options(digits = 15)

control <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10))

joint <- function(fit) {
  w <- weights(fit)
  X <- getME(fit, "X")
  Z <- as.matrix(getME(fit, "Z"))
  L <- as.matrix(getME(fit, "Lambda"))
  q <- ncol(Z)
  A <- cbind(Z %*% L, X)
  C <- crossprod(A * sqrt(w)) + diag(c(rep(1, q), rep(0, ncol(X))))
  B <- rbind(cbind(L, matrix(0, q, ncol(X))), cbind(matrix(0, ncol(X), q), diag(ncol(X))))
  sigma(fit)^2 * B %*% solve(C) %*% t(B)
}

# Rows of known levels only: x0 from the terms of the fit, z0 by lme4's mkReTrms from old and new rows together.
errors <- function(fit, newdata, re.form = NULL) {
  fixed <- delete.response(terms(fit, fixed.only = TRUE))
  own <- Filter(Negate(is.null), lapply(fit@frame[intersect(all.vars(fixed), names(fit@frame))], levels))
  frame <- model.frame(fixed, newdata, xlev = own)
  x <- model.matrix(fixed, frame)
  J <- joint(fit)
  q <- ncol(getME(fit, "Z"))
  z <- matrix(0, nrow(newdata), q)
  if (is.null(re.form)) {
    bars <- findbars(formula(fit))
    used <- unique(unlist(lapply(bars, all.vars)))
    both <- rbind(fit@frame[used], newdata[used])
    Zt <- as.matrix(mkReTrms(bars, both)$Zt)
    stopifnot(all.equal(unname(Zt[, seq_len(nobs(fit))]), unname(as.matrix(getME(fit, "Zt")))))
    z <- t(Zt[, -seq_len(nobs(fit)), drop = FALSE])
  }
  l <- cbind(z, x)
  sqrt(rowSums((l %*% J) * l))
}

plain <- function(p) unname(as.vector(p))

report <- function(formula, data, newdata, partial = character(), known = rep(TRUE, nrow(newdata)), reml = TRUE, ...) {
  fit <- suppressMessages(suppressWarnings(do.call(lmer, list(formula, data, REML = reml, control = control, ...))))
  forms <- lapply(setNames(partial, partial), function(text) {
    plain(predict(fit, newdata, re.form = as.formula(text), allow.new.levels = TRUE))
  })
  postVar <- lapply(ranef(fit, condVar = TRUE), function(t) {
    v <- attr(t, "postVar")
    if (is.list(v)) NULL else lapply(seq_len(dim(v)[3]), function(j) unname(v[, , j]))
  })
  list(
    formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), reml = reml, theta = unname(getME(fit, "theta")),
    sigma = sigma(fit), newdata = as.list(newdata), known = known,
    all = plain(predict(fit, newdata, allow.new.levels = TRUE)), none = plain(predict(fit, newdata, re.form = NA)),
    partial = forms, own = plain(predict(fit)),
    se_own = plain(errors(fit, data)), se = plain(errors(fit, newdata[known, , drop = FALSE])),
    se_none = plain(errors(fit, newdata, NA)), postVar = postVar
  )
}

sleep <- sleepstudy
sleep$w <- 0.5 + sleep$Days %% 3
sleep$base <- 2 * sleep$Days + as.integer(sleep$Subject)
machines <- read.csv("../../data/Machines.csv", colClasses = c(Worker = "factor", Machine = "factor"))

subjects <- data.frame(Days = c(0.5, 3, 10, 4, 0), base = c(1, 2, 3, 4, 5), Subject = c("308", "309", "372", "999", "1000"))
seen <- c(TRUE, TRUE, TRUE, FALSE, FALSE)
dishes <- data.frame(plate = c("a", "c", "x", "zz", "b"), sample = c("A", "F", "new", "B", "C"))
casks <- data.frame(batch = c("A", "B", "C", "D", "ZZ"), cask = c("a", "c", "new", "b", "a"))
workers <- data.frame(Machine = factor(c("A", "B", "C", "C", "A")), Worker = c("1", "6", "3", "9", "8"))

answers <- list(
  sleepstudy = report(Reaction ~ Days + (Days | Subject), sleep, subjects, c("~(1 | Subject)", "~(0 + Days | Subject)"), seen),
  sleepstudy_ml = report(Reaction ~ Days + (Days || Subject), sleep, subjects, c("~(1 | Subject)", "~(0 + Days | Subject)"),
    seen, FALSE),
  sleepstudy_weights = report(Reaction ~ Days + offset(base) + (Days | Subject), sleep, subjects, known = seen,
    weights = sleep$w),
  sleepstudy_poly = report(Reaction ~ poly(Days, 2) + (Days | Subject), sleep, subjects, known = seen),
  sleepstudy_spline = report(Reaction ~ bs(Days, df = 4) + (1 | Subject), sleep,
    transform(subjects, Days = c(0.5, 3, 8.5, 4, 0)), known = seen),
  sleepstudy_scale = report(Reaction ~ scale(Days) + (1 | Subject), sleep, subjects, known = seen),
  penicillin = report(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin, dishes, c("~(1 | plate)", "~(1 | sample)"),
    c(TRUE, TRUE, FALSE, FALSE, TRUE)),
  pastes = report(strength ~ 1 + (1 | batch/cask), Pastes, casks, c("~(1 | batch)", "~(1 | cask:batch)"),
    c(TRUE, TRUE, FALSE, TRUE, FALSE)),
  machines = report(score ~ Machine + (Machine | Worker), machines, workers, known = c(TRUE, TRUE, TRUE, FALSE, FALSE)),
  machines_cells = report(score ~ Machine + (0 + Machine | Worker), machines, workers, known = c(TRUE, TRUE, TRUE, FALSE, FALSE))
)

json <- function(value) {
  toJSON(value, digits = I(13), auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns")
}
made_by <- list(script = "predict.R", R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  jsonlite = as.character(packageVersion("jsonlite")))
entries <- c(list(made_by = made_by), answers)
cat("{\n", paste0('"', names(entries), '": ', sapply(entries, json), collapse = ",\n"), "\n}\n", sep = "")
