# Bases of R's splines::ns and splines::bs, what predict makes of them beyond the data, and mixed models with them.
#
# Run:  Rscript splines.R > splines.json

suppressPackageStartupMessages({
  library(splines)
  library(lme4)
  library(jsonlite)
})

i <- 1:60
some <- seq(1, 60, by = 6)
columns <- list(
  smooth = 3 * sin(i) + i / 20,
  ties = round(3 * (sin(1.7 * i) + sin(0.9 * i))),
  shifted = 2000 + 7 * cos(2 * i),
  tiny = 1e-8 * (sin(i) + cos(2.3 * i)),
  skewed = exp(2 * sin(0.7 * i))
)
calls <- c(
  "ns(x)", "ns(x, 3)", "ns(x, df = 1)", "ns(x, df = 2)", "ns(x, df = 4)", "ns(x, df = 6)", "ns(x, knots = q[2])",
  "ns(x, knots = q[c(3, 1, 2)])", "ns(x, df = 4, intercept = TRUE)", "ns(x, df = 2, intercept = TRUE)",
  "ns(x, df = 3, Boundary.knots = q[c(1, 3)])", "ns(x, df = 4, Boundary.knots = w)",
  "ns(x, knots = q[2], intercept = TRUE, Boundary.knots = q[c(1, 3)])",
  "bs(x)", "bs(x, 5)", "bs(x, df = 4)", "bs(x, df = 7)", "bs(x, knots = q)", "bs(x, knots = q[c(3, 1)], degree = 2)",
  "bs(x, degree = 1, df = 4)", "bs(x, df = 5, degree = 2)", "bs(x, df = 6, intercept = TRUE)",
  "bs(x, df = 6, degree = 5)", "bs(x, df = 5, Boundary.knots = q[c(1, 3)])", "bs(x, df = 4, Boundary.knots = w)",
  "bs(x, knots = q[2], intercept = TRUE, Boundary.knots = w)"
)

bases <- list()
for (name in names(columns)) {
  x <- columns[[name]]
  q <- unname(quantile(x, c(0.2, 0.5, 0.8)))
  w <- range(x) + c(-0.5, 0.25) * diff(range(x))
  new <- seq(min(x) - 0.3 * diff(range(x)), max(x) + 0.4 * diff(range(x)), length.out = 8)
  for (call in calls) {
    made <- suppressWarnings(eval(parse(text = call)))
    further <- suppressWarnings(predict(made, new))
    bases[[length(bases) + 1]] <- list(
      column = name, call = call, q = q, w = w, new = new, knots = as.list(unname(attr(made, "knots"))),
      basis = unname(unclass(made)[some, , drop = FALSE]), further = unname(unclass(further)[, , drop = FALSE])
    )
  }
}

g <- factor(rep(1:12, 5))
f <- factor(rep(c("a", "b", "c"), 20))
x <- columns$smooth
y <- round(sin(x) + 0.4 * cos(3 * i) + c(1.1, -0.7, 0.3, 0.9, -1.2, 0.1, -0.4, 0.8, 0.5, -0.6, -0.9, 0.2)[g] +
  0.25 * x * c(1, -1, 0.5, -0.5)[1 + as.integer(g) %% 4], 6)
data <- data.frame(x = x, y = y, g = g, f = f)
formulas <- c(
  "y ~ ns(x, df = 3) + (1 | g)", "y ~ ns(x, df = 4) + f + (1 | g)", "y ~ f * ns(x, df = 2) + (1 | g)",
  "y ~ ns(x, df = 4, intercept = TRUE) + (1 | g)", "y ~ 0 + ns(x, df = 4, intercept = TRUE) + (1 | g)",
  "y ~ bs(x, df = 5, intercept = TRUE) + f + (1 | g)", "y ~ bs(x, df = 4) + (1 | g)", "y ~ ns(x, df = 3) + (ns(x, df = 2) | g)",
  "y ~ x + (0 + ns(x, df = 2) | g)", "y ~ bs(x, degree = 2) + (bs(x, degree = 1) | g)"
)
control <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10), check.rankX = "silent.drop.cols")
new <- data.frame(x = c(-3.5, 0.3, 6.5), f = c("a", "c", "b"), g = c("1", "7", "12"))
fits <- lapply(formulas, function(formula) {
  fit <- suppressMessages(suppressWarnings(lmer(as.formula(formula), data, REML = FALSE, control = control)))
  list(
    formula = formula, loglik = as.numeric(logLik(fit)), beta = unname(fixef(fit)), names = names(fixef(fit)),
    prediction = unname(suppressWarnings(predict(fit, new)))
  )
})

cat(toJSON(
  list(
    versions = list(
      R = paste(R.version$major, R.version$minor, sep = "."), splines = as.character(packageVersion("splines")),
      lme4 = as.character(packageVersion("lme4"))
    ),
    columns = columns, bases = bases, data = list(y = y), fits = fits
  ),
  digits = I(15), auto_unbox = TRUE, matrix = "rowmajor"
))
