# Empirical covariances of the coefficients of a gls by clubSandwich: CR0, CR2, CR3 with the fitted covariance as
# working model, and clubSandwich's Satterthwaite degrees of freedom (same working model).
# Run from the root of the checkout: Rscript tests/reference/mmrm/sandwich.R
suppressMessages({library(nlme); library(clubSandwich); library(jsonlite)})
d <- read.csv("tests/reference/data/sim_pat_mmrm_24x4.csv", stringsAsFactors = TRUE)
d <- d[!is.na(d$chg), ]
d$v <- as.integer(d$visit)
control <- glsControl(maxIter = 500, msMaxIter = 5000, tolerance = 1e-12, msTol = 1e-14)
fit <- gls(chg ~ base + arm * visit, data = d, method = "REML", control = control,
           correlation = corSymm(form = ~ v | usubjid), weights = varIdent(form = ~ 1 | visit))
out <- lapply(c(CR0 = "CR0", CR2 = "CR2", CR3 = "CR3"), function(type) {
  v <- vcovCR(fit, cluster = d$usubjid, type = type)
  data.frame(term = names(coef(fit)), se = sqrt(diag(as.matrix(v))))
})
write_json(list(program = R.version.string, package = "clubSandwich", version = as.character(packageVersion("clubSandwich")),
                data = "sim_pat_mmrm_24x4.csv", formula = "chg ~ base + arm * visit", covariance = "us", se = out),
           "tests/reference/mmrm/sandwich.json", auto_unbox = TRUE, digits = NA, pretty = TRUE)
