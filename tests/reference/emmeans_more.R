# Nested factors, weights, trends, back-transformation, further contrasts and adjustments, interaction contrasts,
# effect sizes and joint tests of R's emmeans, for data that ship and subsets of them.
#
# Run:  Rscript emmeans_more.R > emmeans_more.json

suppressPackageStartupMessages({
  library(lmerTest)
  library(emmeans)
  library(jsonlite)
})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, lmerTest.limit = 1e5, pbkrtest.limit = 1e5)
control <- lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-10), check.rankX = "silent.drop.cols")

cake <- read.csv("../../data/cake.csv", colClasses = c(replicate = "factor", recipe = "factor", temperature = "factor"))
uneven <- cake[seq_len(nrow(cake)) %% 7 != 3 & seq_len(nrow(cake)) %% 11 != 5, ]
more <- function(data) {
  data$oven <- factor(ifelse(data$temp > 195, "hot", "mild"), levels = c("mild", "hot"))
  data$zone <- factor(c("a", "b", "b", "c", "d", "d")[(data$temp - 165) / 10])
  data$half <- factor(ifelse(as.integer(as.character(data$replicate)) %% 3 == 0, "one", "two"))
  data$w <- 1 + (seq_len(nrow(data)) %% 4)
  data
}
cake <- more(cake)
uneven <- more(uneven)
lost <- subset(uneven, !(temperature == "225" & recipe == "A"))
data_sets <- list(cake = cake, uneven = uneven, lost = lost)

fit_of <- function(formula, data, weighted = FALSE) {
  args <- list(formula, data_sets[[data]], control = control)
  if (weighted) args$weights <- data_sets[[data]]$w
  suppressMessages(suppressWarnings(do.call(lmer, args)))
}
method_of <- c(satterthwaite = "satterthwaite", "kenward-roger" = "kenward-roger", normal = "asymptotic")

cells <- function(table) {
  table <- as.data.frame(table)
  names(table)[names(table) %in% c("asymp.LCL", "lower.CL")] <- "lower"
  names(table)[names(table) %in% c("asymp.UCL", "upper.CL")] <- "upper"
  names(table)[names(table) %in% c("t.ratio", "z.ratio")] <- "statistic"
  names(table) <- sub("p.value", "p_value", sub("SE", "std_error", names(table)))
  names(table)[names(table) %in% c("emmean", "response", "ratio", "effect.size") | grepl("[.]trend$", names(table))] <- "estimate"
  as.list(table[intersect(names(table), c("estimate", "std_error", "df", "lower", "upper", "statistic", "p_value"))])
}
labels_of <- function(table, names) lapply(as.list(as.data.frame(table)[names]), as.character)

how <- function(method, adjust, ...) list(method = method, adjust = adjust, ...)
one <- function(formula, data, specs, by = NULL, ddf = "satterthwaite", weights = NULL, trend = NULL, at = NULL,
                type = "link", bias = NULL, of = list(), weighted = FALSE, effect = NULL) {
  fit <- fit_of(formula, data, weighted)
  args <- list(fit, as.formula(specs), lmer.df = method_of[[ddf]])
  if (!weighted) args$data <- data_sets[[data]]  # with it the weights of the fit do not count
  if (length(by)) args$by <- by
  if (length(weights)) args$weights <- weights
  if (length(at)) args$at <- at
  if (length(trend)) args <- c(args, list(var = trend, delta.var = 1e-5))  # a forward difference
  made <- suppressMessages(do.call(if (length(trend)) emtrends else emmeans, args))
  extra <- if (length(bias)) list(bias.adjust = TRUE, sigma = bias) else list()
  table <- do.call(summary, c(list(made, infer = c(TRUE, FALSE), type = type), extra))
  tested <- lapply(of, function(o) {
    contrast_args <- list(made)
    if (length(o$interaction)) contrast_args$interaction <- o$interaction else contrast_args$method <- o$method
    if (length(o$ref)) contrast_args$ref <- o$ref
    shown <- as.data.frame(summary(do.call(contrast, contrast_args), infer = c(isTRUE(o$limits), TRUE),
      adjust = o$adjust, type = type))
    shown <- shown[!is.na(shown$p.value), , drop = FALSE]
    c(o, list(contrast = as.character(shown$contrast), rows = cells(shown)))
  })
  sizes <- if (length(effect)) {  # its degrees of freedom are those of a sum
    shown <- summary(eff_size(made, sigma = effect[1], edf = effect[2]))
    list(sigma = effect[1], edf = effect[2], rows = cells(shown)[c("estimate", "std_error")])
  }
  shown <- as.data.frame(table)
  named <- setdiff(names(shown), c("emmean", "response", "SE", "df", "lower.CL", "upper.CL", "asymp.LCL", "asymp.UCL",
    grep("[.]trend$", names(shown), value = TRUE)))
  list(formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), data = data, specs = specs, by = by, ddf = ddf,
    weights = weights, trend = trend, at = at, type = type, bias = bias, weighted = weighted,
    levels = labels_of(shown, named), rows = cells(table), contrasts = tested, effect = sizes)
}

joint <- function(formula, data, by = NULL, ddf = "normal") {
  fit <- fit_of(formula, data)
  table <- as.data.frame(suppressMessages(joint_tests(fit, by = by, lmer.df = method_of[[ddf]], data = data_sets[[data]], showconf = FALSE)))
  list(formula = paste(deparse(formula, width.cutoff = 500), collapse = ""), data = data, by = by, ddf = ddf,
    term = as.character(table[["model term"]]), group = if (length(by)) labels_of(table, by),
    df_num = table$df1, df_denom = table$df2, statistic = table$F.ratio, p_value = table$p.value)
}

full <- angle ~ recipe * temperature + (1 | recipe:replicate)
three <- angle ~ recipe * temperature + half + (1 | recipe:replicate)
crossed <- angle ~ recipe * zone * half + (1 | recipe:replicate)
pairs_of <- list(how("pairwise", "tukey", limits = TRUE))
many <- list(how("revpairwise", "tukey", limits = TRUE), how("consec", "none", limits = TRUE), how("mean_chg", "none"),
  how("eff", "none"), how("eff", "fdr"), how("del.eff", "none"), how("pairwise", "fdr"), how("pairwise", "BY"),
  how("pairwise", "hochberg"), how("pairwise", "hommel"), how("pairwise", "scheffe", limits = TRUE),
  how("trt.vs.ctrl", "none", ref = 3), how("trt.vs.ctrl", "none", ref = c(1, 3)),
  how("trt.vs.ctrlk", "none"), how("identity", "none"), how("consec", "hommel"), how("consec", "bonferroni", limits = TRUE))
products <- list(how("x", "none", interaction = c("pairwise", "consec"), limits = TRUE), how("x", "holm", interaction = "consec"),
  how("x", "none", interaction = c("eff", "poly")))

means <- list(
  one(angle ~ oven / temperature + (1 | recipe:replicate), "uneven", "~ oven", of = pairs_of),
  one(angle ~ oven / temperature + (1 | recipe:replicate), "uneven", "~ temperature", of = pairs_of),
  one(angle ~ oven / temperature + (1 | recipe:replicate), "uneven", "~ temperature | oven", of = list(how("pairwise", "none", limits = TRUE))),
  one(angle ~ oven / temperature + (1 | recipe:replicate), "uneven", "~ 1"),
  one(angle ~ oven + temperature + (1 | recipe:replicate), "uneven", "~ oven", of = pairs_of),
  one(angle ~ recipe * oven + temperature + (1 | recipe:replicate), "uneven", "~ recipe", of = pairs_of),
  one(angle ~ recipe * oven + temperature + (1 | recipe:replicate), "uneven", "~ recipe | oven", of = pairs_of),
  one(angle ~ zone + temperature + recipe + (1 | recipe:replicate), "uneven", "~ zone", of = pairs_of),
  one(angle ~ zone / temperature + recipe + (1 | recipe:replicate), "lost", "~ zone", weights = "cells"),
  one(angle ~ oven / zone / temperature + recipe + (1 | recipe:replicate), "uneven", "~ recipe"),
  one(angle ~ recipe / half + temp + (1 | recipe:replicate), "uneven", "~ recipe", of = pairs_of),
  one(angle ~ recipe / half + temp + (1 | recipe:replicate), "uneven", "~ half", of = pairs_of),
  one(angle ~ recipe / temperature + (1 | recipe:replicate), "lost", "~ recipe", of = pairs_of),
  one(full, "uneven", "~ recipe", weights = "proportional", of = pairs_of),
  one(full, "uneven", "~ recipe", weights = "cells", ddf = "kenward-roger", of = pairs_of),
  one(full, "uneven", "~ recipe", weights = "flat"),
  one(full, "lost", "~ recipe", weights = "flat"),
  one(full, "lost", "~ recipe", weights = "cells", of = pairs_of),
  one(full, "lost", "~ 1", weights = "cells"),
  one(three, "uneven", "~ recipe", weights = "outer"),
  one(three, "uneven", "~ recipe", weights = "proportional"),
  one(three, "uneven", "~ recipe", weights = "cells"),
  one(three, "uneven", "~ recipe", weights = "cells", weighted = TRUE),
  one(three, "uneven", "~ recipe | half", weights = "proportional", of = pairs_of),
  one(three, "uneven", "~ recipe", weights = as.numeric(1:12)),
  one(crossed, "uneven", "~ half", weights = "outer", of = pairs_of),
  one(angle ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", trend = "temp", of = pairs_of),
  one(angle ~ recipe * poly(temp, 2) + (1 | recipe:replicate), "uneven", "~ recipe", trend = "temp", ddf = "kenward-roger",
    of = pairs_of),
  one(angle ~ recipe * poly(temp, 2) + half + (1 | recipe:replicate), "uneven", "~ recipe | temp", trend = "temp",
    at = list(temp = c(180, 210)), of = pairs_of),
  one(angle ~ recipe * log(temp) + half + (1 | recipe:replicate), "uneven", "~ recipe", trend = "temp", of = pairs_of),
  one(angle ~ recipe * half * temp + (1 | recipe:replicate), "uneven", "~ recipe", trend = "temp", weights = "proportional"),
  one(angle ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ 1", trend = "temp"),
  one(log(angle) ~ recipe + temperature + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", of = pairs_of),
  one(log(angle) ~ recipe + temperature + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", bias = 0.3),
  one(log(angle) ~ recipe + temperature + (1 | recipe:replicate), "uneven", "~ temperature", type = "response", ddf = "normal",
    of = list(how("trt.vs.ctrl", "none", limits = TRUE), how("consec", "none", limits = TRUE))),
  one(sqrt(angle) ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", of = pairs_of),
  one(sqrt(angle) ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", bias = 0.5),
  one(log10(angle) ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", of = pairs_of),
  one(log2(angle) ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", of = pairs_of),
  one(log1p(angle) ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", type = "response"),
  one(log(angle + 1) ~ recipe * temp + (1 | recipe:replicate), "uneven", "~ recipe", type = "response", of = pairs_of),
  one(full, "uneven", "~ recipe", of = many, effect = c(7.5, 60)),
  one(full, "uneven", "~ recipe | temperature", of = many[c(1, 2, 5, 7, 10, 13)], effect = c(5.25, Inf)),
  one(angle ~ recipe + temperature + (1 | recipe:replicate), "uneven", "~ temperature", ddf = "kenward-roger", of = many,
    effect = c(5.25, 40)),
  one(angle ~ recipe + temperature + (1 | recipe:replicate), "uneven", "~ temperature", ddf = "normal", of = many),
  one(angle ~ recipe * zone + half + (1 | recipe:replicate), "uneven", "~ recipe * zone", of = products),
  one(angle ~ recipe * zone * half + (1 | recipe:replicate), "uneven", "~ recipe * zone | half", of = products)
)

joints <- list(
  joint(full, "uneven"),
  joint(full, "uneven", by = "recipe"),
  joint(full, "cake", by = "temperature", ddf = "satterthwaite"),
  joint(crossed, "uneven", by = "recipe"),
  joint(crossed, "uneven", by = c("recipe", "half")),
  joint(angle ~ recipe * temp + (1 | recipe:replicate), "uneven"),
  joint(angle ~ recipe * temp + half + (1 | recipe:replicate), "uneven", by = "recipe"),
  joint(angle ~ oven / temperature + recipe + (1 | recipe:replicate), "uneven"),
  joint(full, "lost"),
  joint(full, "lost", by = "recipe")
)

json <- function(value) toJSON(value, digits = I(12), auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns")
lines <- function(entries) paste0("  ", sapply(entries, json), collapse = ",\n")
made_by <- list(script = "emmeans_more.R", R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  lmerTest = as.character(packageVersion("lmerTest")), pbkrtest = as.character(packageVersion("pbkrtest")),
  emmeans = as.character(packageVersion("emmeans")), jsonlite = as.character(packageVersion("jsonlite")))
cat('{\n"made_by": ', json(made_by), ',\n"means": [\n', lines(means), '\n],\n"joint": [\n', lines(joints), "\n]\n}\n", sep = "")
