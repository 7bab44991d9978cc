# R's mmrm where the likelihood of six people has two maxima (sets/two_maxima.csv): BFGS to 1e-15 from several starts.
# Run from the root of the checkout: Rscript tests/reference/mmrm/maxima.R
suppressMessages({library(mmrm); library(jsonlite)})
d <- read.csv("tests/reference/mmrm/sets/two_maxima.csv", colClasses = c(id = "character"))
for (v in c("arm", "visit", "id")) d[[v]] <- factor(d[[v]])
found <- lapply(list(c(1, 0, 0, 0), c(1, .3, 0, -1), c(1, -.3, -.2, .5), c(1.2, .5, .2, -.4)), function(start) {
  fit <- mmrm(y ~ arm + visit + toep(visit | id), data = d, control = mmrm_control(
    start = start, optimizer = "BFGS", optimizer_control = list(reltol = 1e-15, maxit = 3000)))
  table <- summary(fit)$coefficients
  list(m2loglik = -2 * as.numeric(logLik(fit)), estimate = table[, "Estimate"], se = table[, "Std. Error"], df = table[, "df"])
})
write_json(list(program = R.version.string, mmrm = as.character(packageVersion("mmrm")), data = "two_maxima.csv",
  formula = "y ~ arm + visit", covariance = "toep", terms = names(found[[1]]$estimate), maxima = lapply(found, lapply, unname)),
  "tests/reference/mmrm/maxima.json", auto_unbox = TRUE, digits = NA)
