# Least-squares means of an unstructured gls by emmeans: the reference grid with a covariate of two values, a covariate
# that crosses a factor, and a function of a covariate. Not the degrees of freedom (mode df.error takes the covariance
# parameters off as well), and not proportional weights (for a gls emmeans counts rows by varIdent's weights).
# Run from the root of the checkout: Rscript tests/reference/mmrm/emmeans.R
suppressMessages({library(nlme); library(emmeans); library(jsonlite)})
d <- read.csv("tests/reference/data/sim_pat_mmrm_233x6.csv", stringsAsFactors = TRUE)
d$two <- as.numeric(d$sev == "g1") + 1
d <- d[!is.na(d$chg), ]
d$v <- as.integer(d$visit)
formulas <- c("chg ~ base * arm + two + arm * visit", "chg ~ log(base) + site + arm * visit", "chg ~ base * visit + arm * sev + visit")
control <- glsControl(maxIter = 500, msMaxIter = 5000, tolerance = 1e-11, msTol = 1e-13)
table <- function(e, ...) as.data.frame(summary(e, infer = TRUE, ...))
out <- lapply(formulas, function(f) {
  fit <- do.call(gls, list(as.formula(f), data = d, method = "REML", control = control,
    correlation = corSymm(form = ~ v | usubjid), weights = varIdent(form = ~ 1 | visit)))
  grid <- function(weights) emmeans(fit, ~ arm | visit, mode = "df.error", weights = weights, data = d)
  tests <- joint_tests(fit, mode = "df.error", data = d)
  list(formula = f, lsmeans = table(grid("equal")),
       pairwise = table(contrast(grid("equal"), "pairwise", adjust = "none")),
       trt_vs_ctrl = table(contrast(grid("equal"), "trt.vs.ctrl", adjust = "none")),
       by_arm = table(emmeans(fit, ~ arm, mode = "df.error", data = d)),
       tests = data.frame(term = tests[["model term"]], num_df = tests$df1, f = tests$F.ratio, p = tests$p.value))
})
write_json(list(program = R.version.string, packages = list(nlme = as.character(packageVersion("nlme")),
  emmeans = as.character(packageVersion("emmeans"))), data = "sim_pat_mmrm_233x6.csv", fits = out),
  "tests/reference/mmrm/emmeans.json", auto_unbox = TRUE, digits = NA, pretty = TRUE)
