# Worker for models with a residual structure: nlme's gls, glmmTMB or mmrm, named by the first argument (see serve.py).

program <- commandArgs(trailingOnly = TRUE)[[1]]
package <- if (program == "gls") "nlme" else program

missing <- Filter(function(p) !requireNamespace(p, quietly = TRUE), c("jsonlite", package))
if (length(missing)) {
  cat("{\"failed\": \"R's package ", missing[[1]], " is not installed\"}\n", sep = "")
  quit(status = 0)
}

answer <- function(value) {
  cat(jsonlite::toJSON(value, auto_unbox = TRUE, digits = NA, null = "null"), "\n", sep = "")
}

hello <- function() {
  list(
    version = paste0(packageVersion(package), " (R ", getRversion(), ")"),
    blas = extSoftVersion()[["BLAS"]],
    lapack = La_library()
  )
}

load_data <- function(problem) {
  header <- names(read.csv(problem$path, nrows = 1, check.names = FALSE))
  classes <- ifelse(header %in% unlist(problem$factors), "factor", NA)
  read.csv(problem$path, colClasses = classes)
}

# Each returns the fit, the criterion, the fixed effects and their standard errors.
fit_with <- list(
  gls = function(problem, data) {
    suppressPackageStartupMessages(library(nlme))
    call <- sprintf("gls(%s, data, %s, method = 'REML')", problem$formula, problem$spelled_by$gls)
    fit <- eval(parse(text = call))
    list(fit, -2 * c(logLik(fit)), coef(fit), sqrt(diag(vcov(fit))))
  },
  glmmTMB = function(problem, data) {
    suppressPackageStartupMessages(library(glmmTMB))
    formula <- as.formula(paste(problem$formula, "+", problem$spelled_by$glmmTMB))
    fit <- glmmTMB(formula, data, dispformula = ~0, REML = TRUE)
    list(fit, -2 * c(logLik(fit)), fixef(fit)$cond, sqrt(diag(vcov(fit)$cond)))
  },
  mmrm = function(problem, data) {
    suppressPackageStartupMessages(library(mmrm))
    formula <- as.formula(paste(problem$formula, "+", problem$spelled_by$mmrm))
    fit <- mmrm(formula, data, reml = TRUE)
    list(fit, -2 * c(logLik(fit)), coef(fit), sqrt(diag(vcov(fit))))
  }
)

timed_fit <- function(problem, data) {
  if (is.null(problem$spelled_by[[program]])) return(list(refused = paste(program, "has no such structure")))
  gc(verbose = FALSE)
  notes <- character()
  begun <- Sys.time()
  found <- withCallingHandlers(
    fit_with[[program]](problem, data),
    warning = function(w) {
      notes <<- c(notes, conditionMessage(w))
      invokeRestart("muffleWarning")
    }
  )
  seconds <- as.numeric(difftime(Sys.time(), begun, units = "secs"))
  list(
    seconds = seconds, criterion = found[[2]], beta = I(unname(found[[3]])),
    standard_errors = I(unname(found[[4]])), evaluations = NULL, converged = NULL,
    note = if (length(notes)) substr(gsub("\\s+", " ", notes[[1]]), 1, 160) else ""
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
      fit = timed_fit(problem, data)
    ),
    error = function(e) list(failed = substr(gsub("\\s+", " ", conditionMessage(e)), 1, 160))
  ))
  invisible(gc(verbose = FALSE))
}
