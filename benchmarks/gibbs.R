# Effective draws per second of rstanarm's stan_lmer: the worst parameter's bulk ESS, sampling time only, one core.
# Rscript benchmarks/gibbs.R seedlings sleepstudy schools nels
suppressMessages(library(rstanarm))
folder <- "../shared/data"
problems <- list(
  seedlings = list(SeedlingWeight ~ Genotype + (1 | Tray), "seedling_weight.csv"),
  sleepstudy = list(Reaction ~ Days + (Days | Subject), "sleepstudy.csv"),
  schools = list(mathscore ~ 1 + (1 | school), "school_mathscore.csv"),
  nels = list(mscore ~ ses + (ses | school), "nels.csv")
)
for (name in commandArgs(TRUE)) {
  data <- read.csv(file.path(folder, problems[[name]][[2]]))
  fit <- suppressWarnings(stan_lmer(problems[[name]][[1]], data = data, chains = 4, iter = 2000, seed = 1,
                                    refresh = 0, cores = 1))
  seconds <- sum(rstan::get_elapsed_time(fit$stanfit)[, "sample"])
  draws <- as.array(fit$stanfit)
  names <- dimnames(draws)[[3]]
  kept <- names[!grepl("^b\\[|_NEW_|mean_PPD|log-posterior|^z_|^zeta|^rho|^tau|^theta_L", names)]
  ess <- sapply(kept, function(parameter) rstan::ess_bulk(draws[, , parameter]))
  cat(sprintf("%-12s%8.3f s  bulk ESS %7.0f (%s)  %10.0f per second\n", name, seconds, min(ess),
              kept[which.min(ess)], min(ess) / seconds))
}
