# Parametric bootstraps by lme4's bootMer, for comparison within Monte-Carlo error.
#
# Run:  Rscript bootstrap.R > bootstrap.json   (five minutes)
#
# REML fits are simulated at their estimates and refitted by REML. `quantiles` are of the replicates (R's type 7);
# `quantile_se` are their Monte-Carlo standard errors: half the distance between the quantiles one binomial standard
# error to either side, which assumes no density.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
options(digits = 15)
probabilities <- c(0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)

parameters <- function(fit) {
  components <- as.data.frame(VarCorr(fit), order = "lower.tri")
  c(setNames(components$sdcor, c(sprintf(".sig%02d", seq_len(nrow(components) - 1)), ".sigma")), fixef(fit))
}

report <- function(formula, data, n, reml = TRUE) {
  fit <- lmer(formula, data, REML = reml)
  made <- suppressMessages(suppressWarnings(bootMer(fit, function(f) c(parameters(f), singular = isSingular(f)),
    nsim = n, seed = 20260)))
  draws <- made$t[, colnames(made$t) != "singular", drop = FALSE]
  each <- lapply(setNames(nm = colnames(draws)), function(name) {
    x <- draws[, name]
    x <- x[is.finite(x)]            # a correlation is not defined where an SD is 0
    error <- sqrt(probabilities * (1 - probabilities) / length(x))
    beside <- function(sign) unname(quantile(x, pmin(pmax(probabilities + sign * error, 0), 1)))
    list(
      estimate = made$t0[[name]], finite = length(x), mean = mean(x), sd = sd(x),
      quantiles = unname(quantile(x, probabilities)), quantile_se = (beside(1) - beside(-1)) / 2
    )
  })
  list(formula = deparse(formula), reml = reml, n = n, singular = mean(made$t[, "singular"]),
    failed = attr(made, "bootFail"), parameters = each)
}

seedlings <- read.csv("../../data/seedling_weight.csv", colClasses = c(Genotype = "factor", Tray = "factor"))
fits <- list(
  seedling_weight = report(SeedlingWeight ~ Genotype + (1 | Tray), seedlings, 10000),
  sleepstudy = report(Reaction ~ Days + (Days | Subject), sleepstudy, 4000),
  dyestuff_ml = report(Yield ~ 1 + (1 | Batch), Dyestuff, 4000, FALSE)
)
made_by <- list(script = "bootstrap.R", R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  jsonlite = as.character(packageVersion("jsonlite")), probabilities = probabilities)
json <- function(value) toJSON(value, digits = I(9), auto_unbox = TRUE, na = "null", null = "null")
lines <- function(entries) paste0('"', names(entries), '": ', sapply(entries, json), collapse = ",\n")
cat("{\n", lines(c(list(made_by = made_by), fits)), "\n}\n", sep = "")
