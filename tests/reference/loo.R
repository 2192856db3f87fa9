# PSIS-LOO and WAIC of a matrix of log-likelihoods that test_loo.py builds in the same way: Rscript loo.R > loo.json
suppressMessages({ library(loo); library(jsonlite) })
draws <- 2500
u <- sapply(0:7, function(i) ((1:draws) * 0.6180339887498949 + 0.1 * i + 0.01) %% 1)
shape <- c(0.05, 0.3, 0.5, 0.7, 0.9, 1.2)
ll <- cbind(sweep(log(u[, 1:6]), 2, shape, "*") - 1, -0.5 * (1.2 * qnorm(u[, 7:8]) + rep(c(0, 1), each = draws))^2)
one <- suppressWarnings(loo(ll, r_eff = rep(1, 8)))
two <- suppressWarnings(loo(ll, r_eff = rep(0.6, 8)))
w <- suppressWarnings(waic(ll))
listed <- function(x) list(elpd = x$pointwise[, 1], p = x$pointwise[, grep("^p_", colnames(x$pointwise))],
  khat = if (is.null(x$diagnostics)) NULL else x$diagnostics$pareto_k, estimates = x$estimates)
cat(toJSON(list(R = R.version.string, loo = as.character(packageVersion("loo")),
  psis = listed(one), psis06 = listed(two), waic = listed(w)), digits = 16, auto_unbox = TRUE, pretty = TRUE))
