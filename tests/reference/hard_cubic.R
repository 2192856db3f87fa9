# Criteria that lme4 and glmmTMB reach on sleepstudy with a random cubic in Days.
#
# Run:  Rscript hard_cubic.R > hard_cubic.json
#
# The unstructured covariance of a cubic does not depend on the basis of the cubic, so lme4 is also given the
# random effects in orthogonal polynomials, where its optimisers get further; the criterion is the same function.
# Values are REML criteria and deviances; for glmmTMB twice its objective (its logLik is missing where its Hessian
# is not positive definite). `smallest_direction` is the smallest standard deviation of the subjects' curves, in ms, in
# any direction of the orthogonal polynomials of unit root mean square, at lme4's deepest fit.

suppressPackageStartupMessages({
  library(lme4)
  library(glmmTMB)
  library(optimx)
})

data <- lme4::sleepstudy
fixed <- c(cubic = "Days + I(Days^2) + I(Days^3)", linear = "Days")
random <- c(raw = "(1 + Days + I(Days^2) + I(Days^3) | Subject)", orthogonal = "(poly(Days, 3) | Subject)")

limit <- 1e5
controls <- list(
  default = lmerControl(),
  bobyqa = lmerControl("bobyqa", optCtrl = list(maxfun = limit, rhoend = 1e-9)),
  nelder_mead = lmerControl("Nelder_Mead", optCtrl = list(maxfun = limit, FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10)),
  nlminb = lmerControl("nlminbwrap", optCtrl = list(eval.max = limit, iter.max = limit, rel.tol = 1e-14)),
  neldermead_nlopt = lmerControl("nloptwrap", optCtrl = list(algorithm = "NLOPT_LN_NELDERMEAD", maxeval = limit,
    xtol_abs = 1e-12, ftol_abs = 1e-12)),
  lbfgsb = lmerControl("optimx", optCtrl = list(method = "L-BFGS-B", maxit = 10000))
)

one <- function(expression) {
  value <- tryCatch(suppressMessages(suppressWarnings(expression)), error = function(e) NA_real_)
  if (is.finite(value)) value else NULL
}

text <- function(x) if (is.null(x)) "null" else sprintf("%.10f", x)
object <- function(x) paste0("{", paste0('"', names(x), '": ', x, collapse = ", "), "}")

smallest <- function(fit) {
  scale <- c(1, rep(1 / sqrt(nrow(data)), 3))
  sqrt(max(0, min(eigen(VarCorr(fit)$Subject * outer(scale, scale), only.values = TRUE)$values)))
}

out <- list()
for (f in names(fixed)) for (reml in c(TRUE, FALSE)) {
  values <- list()
  deepest <- Inf
  for (r in names(random)) {
    formula <- as.formula(paste("Reaction ~", fixed[[f]], "+", random[[r]]))
    for (o in names(controls)) {
      values[[paste0("lme4_", r, "_", o)]] <- text(one({
        fit <- lmer(formula, data, REML = reml, control = controls[[o]])
        value <- if (reml) REMLcrit(fit) else deviance(fit)
        if (r == "orthogonal" && value < deepest) {
          deepest <- value
          direction <- smallest(fit)
        }
        value
      }))
    }
    values[[paste0("glmmTMB_", r)]] <- text(one(2 * glmmTMB(formula, data, REML = reml)$fit$objective))
  }
  values[["smallest_direction"]] <- text(direction)
  out[[paste0(f, if (reml) "_reml" else "_ml")]] <- object(values)
}
versions <- c(R = paste(R.version$major, R.version$minor, sep = "."), lme4 = as.character(packageVersion("lme4")),
  glmmTMB = as.character(packageVersion("glmmTMB")), optimx = as.character(packageVersion("optimx")))
out[["versions"]] <- object(setNames(paste0('"', versions, '"'), names(versions)))
cat("{\n", paste0('  "', names(out), '": ', unlist(out), collapse = ",\n"), "\n}\n", sep = "")
