# Tidy tables of broom.mixed for models of lme4 and lmerTest, stored in tidy.json.
# Run: Rscript tests/reference/tidy.R  (in the project's folder; needs lme4, lmerTest, broom.mixed, jsonlite)
suppressPackageStartupMessages({
  library(lme4)
  library(broom.mixed)
  library(jsonlite)
})
models <- list(
  slopes = list(formula = Reaction ~ Days + (Days | Subject), data = "sleepstudy", reml = TRUE),
  slopes_ml = list(formula = Reaction ~ Days + (Days | Subject), data = "sleepstudy", reml = FALSE),
  uncorrelated = list(formula = Reaction ~ Days + (1 | Subject) + (0 + Days | Subject), data = "sleepstudy", reml = TRUE),
  crossed = list(formula = diameter ~ 1 + (1 | plate) + (1 | sample), data = "Penicillin", reml = TRUE)
)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5))
tables <- lapply(models, function(m) {
  data <- get(m$data, envir = asNamespace("lme4"))
  plain <- lme4::lmer(m$formula, data, REML = m$reml, control = tight)
  tested <- lmerTest::lmer(m$formula, data, REML = m$reml, control = tight)
  list(
    formula = deparse1(m$formula), data = m$data, reml = m$reml,
    fixed = tidy(plain, effects = "fixed", conf.int = TRUE, conf.level = 0.9),
    fixed_satterthwaite = tidy(tested, effects = "fixed", ddf.method = "Satterthwaite", conf.int = TRUE),
    ran_pars = tidy(plain, effects = "ran_pars"),
    ran_pars_vcov = tidy(plain, effects = "ran_pars", scales = "vcov"),
    ran_pars_profile = suppressMessages(tidy(plain, effects = "ran_pars", conf.int = TRUE, conf.method = "profile")),
    ran_vals = head(as.data.frame(tidy(plain, effects = "ran_vals", conf.int = TRUE)), 50),
    ran_coefs = head(as.data.frame(tidy(plain, effects = "ran_coefs")), 50),
    glance = glance(plain),
    augment = head(as.data.frame(augment(plain)), 30)
  )
})
versions <- c(R = as.character(getRversion()), sapply(c("lme4", "lmerTest", "broom.mixed"), function(p) as.character(packageVersion(p))))
writeLines(toJSON(list(versions = as.list(versions), models = tables), digits = 12, auto_unbox = TRUE, na = "null", null = "null", dataframe = "rows"),
           "tests/reference/tidy.json")
