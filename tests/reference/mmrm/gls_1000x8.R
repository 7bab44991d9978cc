# The large simulated trial by nlme::gls: some two minutes. Run from the root of the checkout.
suppressMessages({library(nlme); library(jsonlite)})
d <- read.csv("tests/reference/data/sim_pat_mmrm_1000x8.csv", stringsAsFactors = TRUE)
d <- d[!is.na(d$chg), ]
d$v <- as.integer(d$visit)
fit <- gls(chg ~ base + sev + arm * visit, data = d, method = "REML",
  correlation = corSymm(form = ~ v | usubjid), weights = varIdent(form = ~ 1 | visit),
  control = glsControl(tolerance = 1e-10, msTol = 1e-12))
table <- summary(fit)$tTable
write_json(list(program = R.version.string, package = "nlme", version = as.character(packageVersion("nlme")),
  fits = list(list(
  data = "sim_pat_mmrm_1000x8.csv", formula = "chg ~ base + sev + arm * visit", covariance = "us", method = "reml",
  m2loglik = as.numeric(-2 * logLik(fit)), n_obs = nrow(d), n_subjects = length(unique(d$usubjid)),
  coefficients = lapply(rownames(table), function(term)
    list(term = term, estimate = table[term, "Value"], se = table[term, "Std.Error"]))))),
  "tests/reference/mmrm/gls_1000x8.json", auto_unbox = TRUE, digits = NA, pretty = TRUE)
