# Leverages, Cook's distances, studentised residuals, case deletion and principal components by lme4.
#
# Run:  Rscript diagnostics.R > diagnostics.json
#
# `influence` leaves out each case or group and refits; lme4's cooks.distance() of it has a factor (m - p)/m, m cases,
# which is divided out here, so that it is d' C^-1 d / p.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
control <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10))

read <- function(name, ...) read.csv(file.path("../../data", paste0(name, ".csv")), colClasses = c(...))
data_sets <- list(
  sleepstudy = read("sleepstudy", Subject = "factor"),
  Penicillin = read("Penicillin", plate = "factor", sample = "factor"),
  Pastes = read("Pastes", batch = "factor", cask = "factor", sample = "factor"),
  Machines = read("Machines", Worker = "factor", Machine = "factor"),
  seedling_weight = read("seedling_weight", Genotype = "factor", Tray = "factor")
)

column <- function(values) unname(as.numeric(values))

of_groups <- function(fit, data, group) {
  levels <- if (group == "case") seq_len(nrow(data)) else levels(droplevels(data[[group]]))
  C <- as.matrix(vcov(fit)); p <- length(fixef(fit))
  rows <- lapply(levels, function(level) {
    kept <- if (group == "case") seq_len(nrow(data)) != level else data[[group]] != level
    own <- suppressMessages(suppressWarnings(
      lmer(formula(fit), data[kept, ], REML = isREML(fit), control = control)))
    d <- fixef(fit) - fixef(own); inner <- as.matrix(vcov(own))
    list(fixef = fixef(own), vc = as.data.frame(VarCorr(own), order = "lower.tri")$sdcor,
      cooks = sum(d * solve(C, d)) / p, mdffits = sum(d * solve(inner, d)) / p, covratio = det(inner) / det(C),
      covtrace = abs(sum(diag(solve(C, inner))) - p), dfbetas = d / sqrt(diag(inner)),
      criterion = if (isREML(fit)) REMLcrit(own) else deviance(own))
  })
  gather <- function(name) lapply(rows, function(row) column(row[[name]]))
  single <- function(name) sapply(rows, function(row) row[[name]])
  list(cases = as.character(levels), fixef = gather("fixef"), vc = gather("vc"), dfbetas = gather("dfbetas"),
    cooks = single("cooks"), mdffits = single("mdffits"), covratio = single("covratio"),
    covtrace = single("covtrace"), criterion = single("criterion"))
}

report <- function(formula, data, groups, reml = TRUE) {
  rows <- data_sets[[data]]
  fit <- lmer(formula, rows, REML = reml, control = control)
  list(formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), data = data, reml = reml,
    hatvalues = column(hatvalues(fit)), cooks_distance = column(cooks.distance(fit)),
    rstudent = column(rstudent(fit)), rePCA = lapply(rePCA(fit), function(own) own$sdev),
    influence = lapply(setNames(nm = groups), function(group) of_groups(fit, rows, group)))
}

models <- list(
  sleepstudy = report(Reaction ~ Days + (Days | Subject), "sleepstudy", c("Subject")),
  sleepstudy_ml = report(Reaction ~ Days + (1 | Subject), "sleepstudy", c("Subject", "case"), FALSE),
  penicillin = report(diameter ~ 1 + (1 | plate) + (1 | sample), "Penicillin", c("plate", "sample")),
  pastes = report(strength ~ 1 + (1 | batch/cask), "Pastes", c("batch")),
  machines = report(score ~ Machine + (1 | Worker) + (1 | Worker:Machine), "Machines", c("Worker")),
  seedling_weight = report(SeedlingWeight ~ Genotype + (1 | Tray), "seedling_weight", c("Tray", "case"))
)
made_by <- list(script = "diagnostics.R", R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  jsonlite = as.character(packageVersion("jsonlite")))
json <- function(value) toJSON(value, digits = I(12), auto_unbox = TRUE, na = "null", null = "null")
lines <- function(entries) paste0('"', names(entries), '": ', sapply(entries, json), collapse = ",\n")
cat("{\n\"made_by\": ", json(made_by), ",\n\"models\": {\n", lines(models), "\n}\n}\n", sep = "")
