# Worker that fits with lme4 and asks the fit, through lmerTest and pbkrtest: one JSON object a line (see ask_mixedfit.py).

for (package in c("jsonlite", "lme4", "lmerTest", "pbkrtest")) {
  if (!suppressPackageStartupMessages(requireNamespace(package, quietly = TRUE))) {
    cat(sprintf("{\"failed\": \"R's package %s is not installed\"}\n", package))
    quit(status = 0)
  }
}

answer <- function(value) {
  cat(jsonlite::toJSON(value, auto_unbox = TRUE, digits = NA, null = "null", na = "null"), "\n", sep = "")
}

hello <- function() {
  versions <- sapply(c("lme4", "lmerTest", "pbkrtest"), function(p) paste(p, packageVersion(p)))
  list(version = paste0(paste(versions, collapse = ", "), " (R ", getRversion(), ")"), blas = extSoftVersion()[["BLAS"]])
}

load_data <- function(problem) {
  header <- names(read.csv(problem$path, nrows = 1, check.names = FALSE))
  read.csv(problem$path, colClasses = ifelse(header %in% unlist(problem$factors), "factor", NA))
}

quietly <- function(expression) suppressMessages(suppressWarnings(expression))

degrees <- function(fit, ddf) {
  found <- quietly(summary(fit, ddf = ddf))$coefficients
  unname(as.vector(found[, c("Std. Error", "df", "t value")]))
}

# Ends of intervals come in lme4's order of parameters: SDs and correlations, sigma, fixed effects.
ask <- function(problem, data, request) {
  gc(verbose = FALSE)
  fitter <- if (request$what %in% c("profile", "bootstrap")) lme4::lmer else lmerTest::lmer
  begun <- Sys.time()
  fit <- quietly(fitter(as.formula(problem$formula), data = data, REML = problem$reml))
  fitted <- Sys.time()
  numbers <- switch(request$what,
    profile = as.vector(quietly(confint(fit, method = "profile", quiet = TRUE))),
    bootstrap = {
      set.seed(1)
      made <- quietly(lme4::bootMer(fit, lme4::fixef, nsim = request$replicates))
      unname(apply(made$t, 2, sd))
    },
    satterthwaite = degrees(fit, "Satterthwaite"),
    `kenward-roger` = degrees(fit, "Kenward-Roger")
  )
  done <- Sys.time()
  list(
    seconds = as.numeric(difftime(done, fitted, units = "secs")),
    fit_seconds = as.numeric(difftime(fitted, begun, units = "secs")), numbers = I(numbers)
  )
}

input <- file("stdin", "r")
problem <- NULL
data <- NULL
while (length(line <- readLines(input, n = 1)) > 0) {
  request <- jsonlite::fromJSON(line, simplifyVector = FALSE)
  if (request$do == "quit") break
  answer(tryCatch(
    switch(request$do,
      hello = hello(),
      load = {
        problem <- request$problem
        data <- load_data(problem)
        list(loaded = TRUE)
      },
      ask = ask(problem, data, request)
    ),
    error = function(e) list(failed = substr(gsub("\\s+", " ", conditionMessage(e)), 1, 160))
  ))
  invisible(gc(verbose = FALSE))
}
