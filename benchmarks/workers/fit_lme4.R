# Worker for lme4: requests in, answers out, one JSON object a line (see serve.py).

if (!requireNamespace("jsonlite", quietly = TRUE)) {
  cat("{\"failed\": \"R's package jsonlite is not installed\"}\n")
  quit(status = 0)
}
if (!suppressPackageStartupMessages(requireNamespace("lme4", quietly = TRUE))) {
  cat("{\"failed\": \"R's package lme4 is not installed\"}\n")
  quit(status = 0)
}

answer <- function(value) {
  cat(jsonlite::toJSON(value, auto_unbox = TRUE, digits = NA, null = "null"), "\n", sep = "")
}

hello <- function() {
  list(
    version = paste0(packageVersion("lme4"), " (R ", getRversion(), ")"),
    blas = extSoftVersion()[["BLAS"]],
    lapack = La_library()
  )
}

load_data <- function(problem) {
  header <- names(read.csv(problem$path, nrows = 1, check.names = FALSE))
  classes <- ifelse(header %in% unlist(problem$factors), "factor", NA)
  read.csv(problem$path, colClasses = classes)
}

timed_fit <- function(problem, data) {
  gc(verbose = FALSE)
  notes <- character()
  begun <- Sys.time()
  fit <- withCallingHandlers(
    lme4::lmer(as.formula(problem$formula), data = data, REML = problem$reml),
    message = function(m) {
      notes <<- c(notes, conditionMessage(m))
      invokeRestart("muffleMessage")
    },
    warning = function(w) {
      notes <<- c(notes, conditionMessage(w))
      invokeRestart("muffleWarning")
    }
  )
  criterion <- if (problem$reml) lme4::REMLcrit(fit) else deviance(fit)
  beta <- lme4::fixef(fit)
  standard_errors <- sqrt(diag(as.matrix(vcov(fit))))
  seconds <- as.numeric(difftime(Sys.time(), begun, units = "secs"))
  codes <- fit@optinfo$conv$opt
  list(
    seconds = seconds, criterion = criterion, beta = I(unname(beta)),
    standard_errors = I(unname(standard_errors)),
    evaluations = fit@optinfo$feval, converged = is.null(codes) || codes == 0,
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
