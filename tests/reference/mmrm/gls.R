# Reference fits by nlme::gls. Run from the root of the checkout: Rscript tests/reference/mmrm/gls.R
# Writes tests/reference/mmrm/gls.json: program, version, the call, and what it answered.
suppressMessages({library(nlme); library(jsonlite)})

structures <- list(
  us   = "correlation = corSymm(form = ~ v | usubjid), weights = varIdent(form = ~ 1 | visit)",
  cs   = "correlation = corCompSymm(form = ~ 1 | usubjid)",
  csh  = "correlation = corCompSymm(form = ~ 1 | usubjid), weights = varIdent(form = ~ 1 | visit)",
  ar1  = "correlation = corAR1(form = ~ v | usubjid)",
  ar1h = "correlation = corAR1(form = ~ v | usubjid), weights = varIdent(form = ~ 1 | visit)",
  sp_exp = "correlation = corExp(form = ~ week | usubjid)"
)
formulas <- c("24x4" = "chg ~ base + arm * visit", "233x6" = "chg ~ base + sev + arm * visit")
weeks <- c(1, 2, 4, 8, 12, 26)
control <- glsControl(maxIter = 500, msMaxIter = 5000, tolerance = 1e-12, msTol = 1e-14, opt = "nlminb")

fits <- list()
for (set in names(formulas)) {
  d <- read.csv(sprintf("tests/reference/data/sim_pat_mmrm_%s.csv", set))
  d <- d[!is.na(d$chg), ]
  d$v <- as.integer(factor(d$visit))
  d$week <- weeks[d$v]
  for (name in names(structures)) for (method in c("REML", "ML")) {
    call <- sprintf("gls(%s, data = d, %s, method = \"%s\", control = control)", formulas[[set]], structures[[name]], method)
    fit <- eval(parse(text = call))
    table <- summary(fit)$tTable
    fits[[length(fits) + 1]] <- list(
      data = sprintf("sim_pat_mmrm_%s.csv", set), formula = formulas[[set]], covariance = name,
      method = tolower(method), call = call, m2loglik = as.numeric(-2 * logLik(fit)),
      n_obs = nrow(d), n_subjects = length(unique(d$usubjid)),
      coefficients = lapply(rownames(table), function(term)
        list(term = term, estimate = table[term, "Value"], se = table[term, "Std.Error"])),
      sigma = fit$sigma)
  }
}
out <- list(program = R.version.string, package = "nlme", version = as.character(packageVersion("nlme")),
            weeks = weeks, fits = fits)
write_json(out, "tests/reference/mmrm/gls.json", auto_unbox = TRUE, digits = NA, pretty = TRUE)
