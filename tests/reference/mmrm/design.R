# Columns of R's model.matrix: names and column sums. Run from the root of the checkout.
suppressMessages(library(jsonlite))
d <- read.csv("tests/reference/data/sim_pat_mmrm_233x6.csv", stringsAsFactors = TRUE)
d <- d[!is.na(d$chg), ]
formulas <- c(
  "chg ~ base + sev + arm * visit", "chg ~ 0 + arm + visit", "chg ~ arm:visit", "chg ~ arm:visit - 1",
  "chg ~ base:arm", "chg ~ arm + base:arm", "chg ~ arm * visit * sev", "chg ~ (arm + visit + sev)^2",
  "chg ~ visit:base + arm/visit", "chg ~ log(base) + I(base^2) + arm", "chg ~ sev * arm - sev",
  "chg ~ visit + arm:visit", "chg ~ base * arm + visit - base:arm", "chg ~ 1", "chg ~ visit:arm + sev + arm",
  "chg ~ -1 + base + arm:sev + visit", "chg ~ arm*visit - 1", "chg ~ base/arm", "chg ~ (arm+sev)*visit - arm:visit")
out <- lapply(formulas, function(f) {
  x <- model.matrix(as.formula(f), d)
  list(formula = f, names = colnames(x), sums = as.numeric(colSums(x)))
})
write_json(list(program = R.version.string, data = "sim_pat_mmrm_233x6.csv", designs = out),
           "tests/reference/mmrm/design.json", auto_unbox = TRUE, digits = NA)
