# Profiles, intervals, degrees of freedom and likelihood-ratio tests of models of data that ship.
#
# Run:  Rscript intervals.R > intervals.json   (five minutes; packages as named in `made_by`)
#
# `profile` holds brute force: the ML deviance in (SDs, correlations, sigma), written out below from X, Z and y with
# the fixed effects eliminated, is minimised with one parameter held (for a fixed effect b: of y - b x, x removed), by
# nlminb and then bobyqa, and the ends of the intervals are roots of the signed root zeta. An end is null where zeta
# does not reach the quantile before the parameter's bound, which is then the interval's end. `confint` is what lme4
# gives on its defaults; it interpolates, and so differs in the fifth digit or so. Rows are named as lme4 names them.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(jsonlite)
})
options(digits = 15, width = 500)
started <- proc.time()[["elapsed"]]
say <- function(...) message(sprintf("%6.1f s  ", proc.time()[["elapsed"]] - started), ...)

quietly <- function(expression) suppressMessages(suppressWarnings(expression))
tight <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10), calc.derivs = FALSE)
tight_lme4 <- function(formula, data, reml) {
  quietly(do.call(lme4::lmer, list(formula, data, REML = reml, control = tight)))
}
tight_test <- function(formula, data, reml) {
  quietly(do.call(lmerTest::lmer, list(formula, data, REML = reml, control = tight)))
}
rows <- function(matrix) unname(lapply(seq_len(nrow(matrix)), function(i) unname(matrix[i, ])))
numbers <- function(frame) {
  frame <- as.data.frame(frame)
  c(list(rows = rownames(frame)), setNames(lapply(frame, function(column) unname(as.vector(column))), names(frame)))
}

# -- The criterion, from X, Z and y alone ------------------------------------------------------------------------

# Parameters: for each term its SDs and correlations in the order of the columns of a lower triangle (sd1, cor21, sd2),
# then sigma. Terms in lme4's order.
pieces <- function(fit) {
  Zt <- as.matrix(getME(fit, "Zt"))
  effects <- lengths(getME(fit, "cnms"))
  levels <- diff(getME(fit, "Gp")) / effects
  kinds <- unlist(lapply(effects, function(k) {
    index <- which(lower.tri(diag(k), diag = TRUE), arr.ind = TRUE)
    ifelse(index[, 1] == index[, 2], "sd", "cor")
  }))
  X <- unname(getME(fit, "X"))
  ols <- qr.coef(qr(X), unname(getME(fit, "y")))        # y is its residual here, lest digits cancel
  list(X = X, ols = ols, y = drop(getME(fit, "y") - X %*% ols), Z = unname(t(Zt)), ZtZ = unname(tcrossprod(Zt)),
    k = effects, levels = levels, kinds = c(kinds, "sigma"))
}

factor_of <- function(sdcor, k) {
  if (k == 1) return(matrix(sdcor))
  triangle <- matrix(0, k, k)
  triangle[lower.tri(triangle, diag = TRUE)] <- sdcor
  sd <- diag(triangle)
  correlation <- triangle + t(triangle)
  diag(correlation) <- 1
  lam <- matrix(0, k, k)          # Cholesky factor that is defined at correlations of +-1 and SDs of 0
  for (i in seq_len(k)) for (j in seq_len(i)) {
    rest <- correlation[i, j] - sum(lam[i, seq_len(j - 1)] * lam[j, seq_len(j - 1)])
    if (i == j && rest < -1e-12) stop("no correlation matrix")
    lam[i, j] <- if (i == j) sqrt(max(rest, 0)) else if (lam[j, j] > 0) rest / lam[j, j] else 0
  }
  sd * lam
}

relative_factor <- function(p, pars) {
  blocks <- list()
  at <- 0
  for (i in seq_along(p$k)) {
    size <- p$k[i] * (p$k[i] + 1) / 2
    blocks[[i]] <- kronecker(diag(p$levels[i]), factor_of(pars[at + seq_len(size)], p$k[i]))
    at <- at + size
  }
  total <- sum(sapply(blocks, nrow))
  out <- matrix(0, total, total)
  from <- 0
  for (block in blocks) {
    here <- from + seq_len(nrow(block))
    out[here, here] <- block
    from <- from + nrow(block)
  }
  out / pars[length(pars)]
}

# -2 log-likelihood at pars with the fixed effects eliminated; reml: its restricted counterpart; beta: at these instead.
criterion <- function(p, pars, reml = FALSE, beta = NULL) {
  sigma <- pars[length(pars)]
  lam <- relative_factor(p, pars)
  root <- chol(crossprod(lam, p$ZtZ %*% lam) + diag(nrow(lam)))
  y <- if (is.null(beta)) p$y else p$y - p$X %*% (beta - p$ols)
  right <- if (is.null(beta)) cbind(p$X, y) else as.matrix(y)
  half <- backsolve(root, crossprod(lam, crossprod(p$Z, right)), transpose = TRUE)
  left <- crossprod(right) - crossprod(half)
  m <- ncol(right)
  n <- length(p$y)
  fixed <- m - 1
  rss <- left[m, m]
  logdet <- 0
  if (fixed > 0) {
    top <- chol(left[1:fixed, 1:fixed, drop = FALSE])
    rss <- rss - sum(backsolve(top, left[1:fixed, m], transpose = TRUE)^2)
    logdet <- 2 * sum(log(diag(top)))
  }
  nu <- if (reml) n - fixed else n
  2 * sum(log(diag(root))) + nu * log(2 * pi * sigma^2) + rss / sigma^2 + if (reml) logdet else 0
}

bounds <- function(p) {
  list(lower = c(sd = 0, cor = -1, sigma = 1e-3)[p$kinds], upper = c(sd = Inf, cor = 1, sigma = Inf)[p$kinds])
}

# Least criterion over the parameters that are not held, from a start.
least <- function(p, start, held = NULL, reml = FALSE) {
  free <- setdiff(seq_along(start), held)
  if (!length(free)) return(list(pars = start, value = criterion(p, start, reml)))
  limits <- bounds(p)
  scale <- ifelse(p$kinds == "cor", 1, start[length(start)])[free]
  full <- function(x) {
    out <- start
    out[free] <- x * scale
    out
  }
  value <- function(x) {
    out <- tryCatch(criterion(p, full(x), reml), error = function(e) NA)
    if (is.finite(out)) out else 1e10
  }
  low <- limits$lower[free] / scale
  high <- limits$upper[free] / scale
  first <- nlminb(pmin(pmax(start[free] / scale, low), high), value, lower = low, upper = high,
    control = list(rel.tol = 1e-14, x.tol = 1e-10, eval.max = 5000, iter.max = 2000))
  best <- list(par = first$par, value = first$objective)
  if (length(free) > 1) {
    width <- min(1e-2, 0.4 * min(high - low))
    second <- quietly(minqa::bobyqa(first$par, value, lower = low, upper = high,
      control = list(rhobeg = width, rhoend = 1e-9, maxfun = 5000)))
    if (second$fval < best$value) best <- list(par = second$par, value = second$fval)
  }
  list(pars = full(best$par), value = best$value)
}

# -- Profiles ----------------------------------------------------------------------------------------------------

# zeta(value) of one parameter, with warm starts from the nearest value seen.
zeta_of <- function(p, best, name, which, estimate) {
  seen <- list(list(at = estimate, pars = best$pars))
  function(value) {
    near <- seen[[which.min(sapply(seen, function(s) abs(s$at - value)))]]$pars
    starts <- list(near, best$pars)
    held <- NULL
    model <- p
    if (which <= length(p$kinds)) {
      held <- which
      starts <- lapply(starts, function(s) { s[which] <- value; s })
    } else {
      column <- which - length(p$kinds)
      model$y <- p$y - p$X[, column] * (value - p$ols[column])
      model$X <- p$X[, -column, drop = FALSE]
    }
    found <- lapply(starts, function(s) least(model, s, held))
    found <- found[[which.min(sapply(found, function(f) f$value))]]
    seen[[length(seen) + 1]] <<- list(at = value, pars = found$pars)
    if (found$value < best$value - 1e-7) stop(name, ": lower by ", best$value - found$value)
    sign(value - estimate) * sqrt(max(found$value - best$value, 0))
  }
}

# Root of zeta = target beyond the estimate in its direction; NULL if the bound comes first.
end_of <- function(zeta, estimate, target, step, bound) {
  inner <- estimate
  outer <- estimate
  repeat {
    outer <- if (is.finite(bound) && abs(bound - estimate) <= abs(outer + step - estimate)) bound else outer + step
    if (abs(zeta(outer)) > abs(target)) break
    if (outer == bound) return(NULL)
    inner <- outer
  }
  uniroot(function(b) zeta(b) - target, sort(c(inner, outer)), tol = 1e-9 * abs(step), maxiter = 100)$root
}

profile_one <- function(p, best, name, which, estimate, width) {
  zeta <- zeta_of(p, best, name, which, estimate)
  limit <- if (which <= length(p$kinds)) c(bounds(p)$lower[which], bounds(p)$upper[which]) else c(-Inf, Inf)
  if (which == length(p$kinds)) limit[1] <- 0
  out <- list(estimate = estimate)
  for (level in c(0.95, 0.99)) {
    target <- qnorm((1 + level) / 2)
    out[[paste0("level_", 100 * level)]] <- list(
      lower = end_of(zeta, estimate, -target, -width, limit[1]), upper = end_of(zeta, estimate, target, width, limit[2])
    )
  }
  ends <- out$level_95
  low <- if (is.null(ends$lower)) limit[1] else ends$lower
  high <- if (is.null(ends$upper)) limit[2] else ends$upper
  last <- high + 0.15 * (high - low)
  if (last > limit[2]) last <- if (max(p$k) > 2) (high + limit[2]) / 2 else limit[2]   # three cannot all be 1
  values <- signif(c(low + c(0.1, 0.35, 0.6, 0.85) * (high - low), last), 4)
  out$values <- values
  out$zeta <- sapply(values, zeta)
  stopifnot(abs(out$zeta) < 20)
  out
}

profiles <- function(formula, data) {
  fit <- tight_lme4(formula, data, FALSE)
  p <- pieces(fit)
  components <- as.data.frame(VarCorr(fit), order = "lower.tri")$sdcor
  start <- ifelse(p$kinds == "cor" & !is.finite(components), 0, components)
  best <- least(p, least(p, start)$pars)
  stopifnot(abs(best$value - (-2 * as.numeric(logLik(fit)))) < 1e-6)
  estimates <- c(best$pars, unname(fixef(fit)))
  names <- c(paste0(".sig", sprintf("%02d", seq_len(length(p$kinds) - 1))), ".sigma", names(fixef(fit)))
  sigma <- best$pars[length(best$pars)]
  widths <- c(ifelse(p$kinds == "cor", 0.3, ifelse(p$kinds == "sd", pmax(best$pars / 2, sigma / 10), sigma / 6)),
    1.5 * sqrt(diag(as.matrix(vcov(fit)))))
  each <- lapply(seq_along(estimates), function(i) profile_one(p, best, names[i], i, estimates[i], widths[i]))
  list(deviance = best$value, kinds = c(p$kinds, rep("beta", length(fixef(fit)))), parameters = setNames(each, names))
}

default_profile <- function(formula, data) {
  fit <- quietly(do.call(lme4::lmer, list(formula, data)))
  intervals <- quietly(confint(fit, method = "profile", quiet = TRUE))
  list(rows = rownames(intervals), lower = unname(intervals[, 1]), upper = unname(intervals[, 2]))
}

# -- Tests of fixed effects --------------------------------------------------------------------------------------

coefficients_by <- function(fit, ddf) numbers(quietly(summary(fit, ddf = ddf))$coefficients)

tests_of <- function(formula, data) {
  reml <- tight_test(formula, data, TRUE)
  ml <- tight_test(formula, data, FALSE)
  wald <- confint(reml, parm = "beta_", method = "Wald")
  plain <- tight_lme4(formula, data, TRUE)
  out <- list(
    names = names(fixef(reml)), params = unname(fixef(reml)), sigma = sigma(reml),
    vcov = rows(as.matrix(vcov(reml))), vcov_kenward_roger = rows(as.matrix(quietly(vcovAdj(plain)))),
    wald = list(lower = unname(wald[, 1]), upper = unname(wald[, 2])),
    satterthwaite = coefficients_by(reml, "Satterthwaite"), kenward_roger = coefficients_by(reml, "Kenward-Roger"),
    ml = list(vcov = rows(as.matrix(vcov(ml))), satterthwaite = coefficients_by(ml, "Satterthwaite")),
    ranova = numbers(quietly(ranova(reml))), ranova_ml = numbers(quietly(ranova(ml)))
  )
  if (length(attr(terms(reml), "term.labels"))) {
    for (type in 1:3) for (ddf in c("Satterthwaite", "Kenward-Roger")) {
      key <- paste0("type_", type, "_", c(Satterthwaite = "satterthwaite", `Kenward-Roger` = "kenward_roger")[[ddf]])
      out$anova[[key]] <- numbers(quietly(anova(reml, type = as.character(type), ddf = ddf)))
    }
    out$drop1 <- numbers(quietly(drop1(tight_lme4(formula, data, FALSE), test = "Chisq")))
  }
  out
}

criteria <- function(formula, data) {
  lapply(c(reml = TRUE, ml = FALSE), function(reml) {
    fit <- tight_lme4(formula, data, reml)
    ll <- logLik(fit)
    k <- attr(ll, "df")
    list(llf = as.numeric(ll), k = k, n = nobs(fit), aic = AIC(fit), bic = BIC(fit),
      aicc = AIC(fit) + 2 * k * (k + 1) / (nobs(fit) - k - 1))
  })
}

# -- Covariance of the variance parameters -----------------------------------------------------------------------

# Twice the inverse of the second derivative by numDeriv's Richardson extrapolation, at the optimum. `joint` of ML has
# the fixed effects first; its lower corner is `ml`, since eliminating them is a Schur complement.
covariances <- function(formula, data) {
  fits <- lapply(c(TRUE, FALSE), function(reml) tight_lme4(formula, data, reml))
  p <- pieces(fits[[1]])
  best <- lapply(1:2, function(i) {
    start <- as.data.frame(VarCorr(fits[[i]]), order = "lower.tri")$sdcor
    least(p, least(p, start, reml = i == 1)$pars, reml = i == 1)$pars
  })
  inverse <- function(f, at) {
    scale <- pmax(abs(at), 1e-2) / 10
    for (pass in 1:3) {             # steps in standard errors; a Newton step to where the slope is nil
      moved <- function(z) f(at + z * scale)
      zero <- 0 * at
      steps <- list(eps = 0.1, r = 4, zero.tol = 1)
      H <- numDeriv::hessian(moved, zero, method.args = steps)
      at <- at - scale * solve(H, numDeriv::grad(moved, zero, method.args = steps))
      out <- 2 * solve(H) * outer(scale, scale)
      scale <- sqrt(diag(out))
    }
    list(at = at, covariance = out)
  }
  beta <- unname(fixef(fits[[2]]))
  b <- length(beta)
  reml <- inverse(function(x) criterion(p, x, reml = TRUE), best[[1]])
  ml <- inverse(function(x) criterion(p, x), best[[2]])
  joint <- inverse(function(x) criterion(p, x[-(1:b)], beta = x[1:b]), c(beta, best[[2]]))$covariance
  sizes <- sqrt(diag(ml$covariance))
  gap <- max(abs(joint[-(1:b), -(1:b)] - ml$covariance) / outer(sizes, sizes))
  say("  covariances, joint against eliminated: ", signif(gap, 2))
  stopifnot(gap < 1e-7)
  list(kinds = p$kinds, pars_reml = reml$at, pars_ml = ml$at, reml = rows(reml$covariance), ml = rows(ml$covariance),
    joint_ml = rows(joint))
}

# -- Likelihood ratios -------------------------------------------------------------------------------------------

ratios <- function(small, large, data) {
  fits <- list(tight_lme4(small, data, TRUE), tight_lme4(large, data, TRUE))
  by <- function(refit) numbers(quietly(do.call(anova, c(unname(fits), list(refit = refit)))))
  same <- identical(names(fixef(fits[[1]])), names(fixef(fits[[2]])))
  list(small = deparse(small), large = deparse(large), refitted = by(TRUE), by_reml = if (same) by(FALSE))
}

# -- The models --------------------------------------------------------------------------------------------------

shipped <- function(name, ...) {
  read.csv(file.path("..", "..", "data", paste0(name, ".csv")), colClasses = c(...))
}
seedlings <- shipped("seedling_weight", Genotype = "factor", Tray = "factor")
machines <- shipped("Machines", Worker = "factor", Machine = "factor")
oats <- shipped("Oats", Block = "factor", Variety = "factor")
rail <- shipped("Rail", Rail = "factor")
orthodont <- shipped("Orthodont", Subject = "factor", Sex = "factor")
orthodont$Sex <- relevel(orthodont$Sex, "Male")
cakes <- cake
cakes$temperature <- factor(cakes$temperature, ordered = FALSE)
cakes$batch <- with(cakes, interaction(recipe, replicate, drop = TRUE))
kept <- subset(sleepstudy, (3 * as.integer(Subject) + Days) %% 5 != 0)

models <- list(
  seedling_weight = list(SeedlingWeight ~ Genotype + (1 | Tray), seedlings),
  sleepstudy = list(Reaction ~ Days + (Days | Subject), sleepstudy),
  sleepstudy_independent = list(Reaction ~ Days + (Days || Subject), sleepstudy),
  sleepstudy_intercepts = list(Reaction ~ Days + (1 | Subject), sleepstudy),
  sleepstudy_unbalanced = list(Reaction ~ Days + (Days | Subject), kept),
  pastes = list(strength ~ 1 + (1 | batch/cask), Pastes),
  penicillin = list(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
  dyestuff = list(Yield ~ 1 + (1 | Batch), Dyestuff),
  dyestuff2 = list(Yield ~ 1 + (1 | Batch), Dyestuff2),
  cake = list(angle ~ recipe * temp + (1 | recipe:replicate), cakes),
  orthodont = list(distance ~ age * Sex + (1 | Subject), orthodont),
  machines = list(score ~ Machine + (1 | Worker/Machine), machines),
  machines_slopes = list(score ~ Machine + (0 + Machine | Worker), machines),
  oats = list(yield ~ nitro * Variety + (1 | Block/Variety), oats),
  rail = list(travel ~ 1 + (1 | Rail), rail)
)

with_covariances <- c("seedling_weight", "sleepstudy", "sleepstudy_independent", "sleepstudy_unbalanced", "pastes",
  "penicillin", "dyestuff")

report <- function(name) {
  formula <- models[[name]][[1]]
  data <- models[[name]][[2]]
  say(name)
  out <- list(formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), criteria = criteria(formula, data))
  out$profile <- profiles(formula, data)
  say("  confint")
  out$confint <- default_profile(formula, data)
  if (name != "dyestuff2") out$tests <- tests_of(formula, data)
  if (name %in% with_covariances) out$vcov_varpar <- covariances(formula, data)
  out
}

kr_tests <- function(large, small, data) {
  test <- quietly(KRmodcomp(tight_lme4(large, data, TRUE), tight_lme4(small, data, TRUE)))$test
  list(large = deparse(large), small = deparse(small), table = numbers(test))
}

arguments <- commandArgs(TRUE)
chosen <- if (length(arguments)) arguments else names(models)
made_by <- c(list(script = "intervals.R", R = R.version.string), lapply(setNames(nm = c("lme4", "lmerTest", "pbkrtest",
  "numDeriv", "minqa", "jsonlite")), function(package) as.character(packageVersion(package))))

reports <- lapply(setNames(nm = chosen), report)
say("likelihood ratios")
lrt <- list(
  sleepstudy_days = ratios(Reaction ~ 1 + (Days | Subject), Reaction ~ Days + (Days | Subject), sleepstudy),
  sleepstudy_correlation = ratios(Reaction ~ Days + (Days || Subject), Reaction ~ Days + (Days | Subject), sleepstudy),
  sleepstudy_slope = ratios(Reaction ~ Days + (1 | Subject), Reaction ~ Days + (Days | Subject), sleepstudy),
  pastes_batch = ratios(strength ~ 1 + (1 | batch:cask), strength ~ 1 + (1 | batch/cask), Pastes),
  cake_interaction = ratios(angle ~ recipe + temp + (1 | recipe:replicate),
    angle ~ recipe * temp + (1 | recipe:replicate), cakes),
  penicillin_plate = ratios(diameter ~ 1 + (1 | sample), diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin)
)
say("Kenward-Roger F tests")
kr <- list(
  cake_recipe = kr_tests(angle ~ recipe + temp + (1 | recipe:replicate), angle ~ temp + (1 | recipe:replicate), cakes),
  cake_temperature = kr_tests(angle ~ recipe + temperature + (1 | recipe:replicate),
    angle ~ recipe + (1 | recipe:replicate), cakes),
  machines_slopes = kr_tests(score ~ Machine + (0 + Machine | Worker), score ~ 1 + (0 + Machine | Worker), machines),
  machines_unbalanced = kr_tests(score ~ Machine + (1 | Worker/Machine), score ~ 1 + (1 | Worker/Machine),
    machines[-c(1, 2, 9, 20, 21, 22, 40), ]),
  oats_variety = kr_tests(yield ~ nitro + Variety + (1 | Block/Variety), yield ~ nitro + (1 | Block/Variety),
    oats[-(1:5), ])
)
say("done")

json <- function(value) {
  toJSON(value, digits = I(12), auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns")
}
lines <- function(entries) paste0('"', names(entries), '": ', sapply(entries, json), collapse = ",\n")
cat("{\n", lines(c(list(made_by = made_by), reports, list(lrt = lrt, kenward_roger_f = kr))), "\n}\n", sep = "")
