# F tests by term of lmerTest and marginal means of emmeans, for data that ship and subsets of them.
#
# Run:  Rscript anova_emmeans.R > anova_emmeans.json
#
# Fits are optimised by bobyqa at a tight tolerance; lmerTest's derivatives are numerical, about six digits.

suppressPackageStartupMessages({
  library(lmerTest)
  library(emmeans)
  library(jsonlite)
})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, lmerTest.limit = 1e5, pbkrtest.limit = 1e5)
control <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10), check.rankX = "silent.drop.cols")

read <- function(name, ...) read.csv(file.path("../../data", paste0(name, ".csv")), colClasses = c(...))
text <- "factor"
cake <- read("cake", replicate = text, recipe = text, temperature = text)
uneven <- cake[seq_len(nrow(cake)) %% 7 != 3 & seq_len(nrow(cake)) %% 11 != 5, ]
holes <- subset(uneven, !(recipe == "B" & temperature == "205"))
last <- subset(uneven, !(recipe == "C" & temperature == "225") & !(recipe == "B" & temperature == "195"))
cake$hot <- as.numeric(cake$temp > 190)
uneven$hot <- as.numeric(uneven$temp > 190)
uneven$warm <- uneven$temp > 200
oats <- read("Oats", Block = text, Variety = text)
oats$nitrof <- factor(oats$nitro)
orthodont <- read("Orthodont", Subject = text, Sex = text)
orthodont$Sex <- factor(orthodont$Sex, levels = c("Male", "Female"))
machines <- read("Machines", Worker = text, Machine = text)
few_machines <- machines[seq_len(nrow(machines)) %% 5 != 2, ]
data_sets <- list(cake = cake, uneven = uneven, holes = holes, last = last, oats = oats, orthodont = orthodont,
  machines = machines, few_machines = few_machines)

fit_of <- function(formula, data, contrasts = NULL) {
  suppressMessages(suppressWarnings(
    do.call(lmer, list(formula, data_sets[[data]], control = control, contrasts = contrasts))))
}

column <- function(values) unname(as.numeric(values))

f_tests <- function(formula, data, contrasts = NULL, kr = TRUE) {
  fit <- fit_of(formula, data, contrasts)
  methods <- if (kr) c("Satterthwaite", "Kenward-Roger") else "Satterthwaite"
  tests <- list()
  for (type in 1:3) for (ddf in methods) {
    table <- suppressMessages(anova(fit, type = type, ddf = ddf))
    tests[[length(tests) + 1]] <- list(type = type, ddf = tolower(ddf), terms = rownames(table),
      sum_sq = column(table[["Sum Sq"]]), mean_sq = column(table[["Mean Sq"]]), df_num = column(table[["NumDF"]]),
      df_denom = column(table[["DenDF"]]), statistic = column(table[["F value"]]), p_value = column(table[["Pr(>F)"]]))
  }
  list(formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), data = data, contrasts = contrasts,
    tests = tests)
}

cells <- function(summary) {
  names(summary)[names(summary) %in% c("asymp.LCL", "lower.CL")] <- "lower"
  names(summary)[names(summary) %in% c("asymp.UCL", "upper.CL")] <- "upper"
  names(summary)[names(summary) %in% c("t.ratio", "z.ratio")] <- "statistic"
  names(summary) <- sub("p.value", "p_value", sub("SE", "std_error", names(summary)))
  names(summary)[names(summary) == "emmean"] <- "estimate"
  as.list(summary[intersect(names(summary), c("estimate", "std_error", "df", "lower", "upper", "statistic", "p_value"))])
}

means <- function(formula, data, specs, by = NULL, at = NULL, ddf = "satterthwaite", level = 0.95, of = list()) {
  fit <- fit_of(formula, data)
  lmer_df <- c(satterthwaite = "satterthwaite", "kenward-roger" = "kenward-roger", normal = "asymptotic")[[ddf]]
  grid <- do.call(emmeans, c(list(fit, specs, by = by, lmer.df = lmer_df, data = data_sets[[data]]), if (length(at)) list(at = at)))
  tested <- lapply(of, function(one) {
    made <- contrast(grid, if (isTRUE(one$reverse)) "revpairwise" else one$method, adjust = one$adjust)
    shown <- summary(made, infer = c(one$adjust != "holm", TRUE), adjust = one$adjust, level = level)
    by_value <- if (length(by)) as.character(shown[[by[1]]])
    c(one, list(contrast = as.character(shown$contrast), by = by_value, rows = cells(shown)))
  })
  table <- summary(grid, infer = c(TRUE, FALSE), level = level)
  levels <- lapply(table[c(specs, by)], as.character)
  list(formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), data = data, specs = I(specs), by = by, at = at,
    ddf = ddf, level = level, levels = levels, rows = cells(table), contrasts = tested)
}

how <- function(method, adjust, ...) list(method = method, adjust = adjust, ...)
usual <- list(how("pairwise", "tukey"), how("pairwise", "holm"), how("pairwise", "bonferroni"), how("pairwise", "none"),
  how("pairwise", "sidak"), how("trt.vs.ctrl", "none"), how("poly", "none"), how("pairwise", "tukey", reverse = TRUE),
  how("trt.vs.ctrl", "dunnettx"))

sum_to_zero <- list(recipe = "contr.sum", temperature = "contr.helmert")
anovas <- list(
  f_tests(angle ~ recipe * temperature + (1 | recipe:replicate), "cake"),
  f_tests(angle ~ recipe * temperature + (1 | recipe:replicate), "uneven"),
  f_tests(angle ~ recipe * temperature + (1 | recipe:replicate), "uneven", sum_to_zero),
  f_tests(angle ~ recipe * temp + (1 | recipe:replicate), "uneven"),
  f_tests(angle ~ recipe * temp * hot + (1 | recipe:replicate), "uneven", kr = FALSE),
  f_tests(angle ~ recipe * warm + temp + (1 | recipe:replicate), "uneven"),
  f_tests(angle ~ recipe * temperature + (1 | recipe:replicate), "holes"),
  f_tests(angle ~ recipe * temperature + (1 | recipe:replicate), "last"),
  f_tests(angle ~ recipe * temperature + (1 | recipe:replicate), "last", sum_to_zero),
  f_tests(angle ~ 0 + recipe * temperature + (1 | recipe:replicate), "uneven"),
  f_tests(angle ~ 0 + recipe + temp + (1 | recipe:replicate), "uneven"),
  f_tests(angle ~ recipe + recipe:temp + (1 | recipe:replicate), "uneven"),
  f_tests(yield ~ nitro * Variety + (1 | Block / Variety), "oats"),
  f_tests(yield ~ nitrof * Variety + (1 | Block / Variety), "oats"),
  f_tests(distance ~ age * Sex + (age | Subject), "orthodont"),
  f_tests(distance ~ age * Sex + (1 | Subject), "orthodont"),
  f_tests(score ~ Machine + (1 | Worker / Machine), "machines"),
  f_tests(score ~ Machine + (Machine | Worker), "few_machines")
)

emms <- list(
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "cake", "recipe", of = usual),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "cake", "temperature", ddf = "kenward-roger", of = usual),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "uneven", "recipe", by = "temperature", of = usual[c(1, 6)]),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "uneven", "recipe", ddf = "kenward-roger", level = 0.9,
    of = usual[c(1, 2, 6)]),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "uneven", "recipe", ddf = "normal", of = usual[c(1, 3)]),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "uneven", c("recipe", "temperature")),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "holes", "recipe"),
  means(angle ~ recipe * temperature + (1 | recipe:replicate), "holes", "recipe", by = "temperature", of = usual[4]),
  means(angle ~ recipe + temperature + (1 | recipe:replicate), "holes", "recipe", of = usual[1]),
  means(angle ~ recipe * temp + (1 | recipe:replicate), "uneven", "recipe", of = usual[1]),
  means(angle ~ recipe * temp + (1 | recipe:replicate), "uneven", "recipe", by = "temp", at = list(temp = c(180, 200)), of = usual[1]),
  means(angle ~ recipe * temp + (1 | recipe:replicate), "uneven", "recipe", at = list(temp = c(180, 200))),
  means(angle ~ recipe + temp + (1 | recipe:replicate), "uneven", "temp"),
  means(angle ~ recipe * poly(temp, 2) + (1 | recipe:replicate), "uneven", "recipe", ddf = "kenward-roger", of = usual[1]),
  means(angle ~ recipe * scale(temp) + log(temp) + (1 | recipe:replicate), "uneven", "recipe"),
  means(angle ~ recipe * hot + (1 | recipe:replicate), "uneven", "recipe", of = usual[1]),
  means(angle ~ recipe * warm + (1 | recipe:replicate), "uneven", "recipe", of = usual[1]),
  means(angle ~ recipe * warm + (1 | recipe:replicate), "uneven", "warm", of = usual[1]),
  means(angle ~ temp + recipe:hot + (1 | recipe:replicate), "uneven", "recipe"),
  means(yield ~ nitrof * Variety + (1 | Block / Variety), "oats", "Variety", by = "nitrof", of = usual[c(1, 6)]),
  means(yield ~ nitrof + Variety + (1 | Block / Variety), "oats", "nitrof", of = usual),
  means(distance ~ age * Sex + (age | Subject), "orthodont", "Sex", ddf = "kenward-roger", of = usual[c(1, 4)]),
  means(score ~ Machine + (Machine | Worker), "few_machines", "Machine", ddf = "kenward-roger", of = usual[c(1, 2, 6)])
)

json <- function(value) toJSON(value, digits = I(12), auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns")
lines <- function(entries) paste0("  ", sapply(entries, json), collapse = ",\n")
made_by <- list(script = "anova_emmeans.R", R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  lmerTest = as.character(packageVersion("lmerTest")), pbkrtest = as.character(packageVersion("pbkrtest")),
  emmeans = as.character(packageVersion("emmeans")), jsonlite = as.character(packageVersion("jsonlite")))
cat('{\n"made_by": ', json(made_by), ',\n"anova": [\n', lines(anovas), '\n],\n"emmeans": [\n', lines(emms), "\n]\n}\n", sep = "")
