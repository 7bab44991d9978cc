# Columns of R's model.matrix: names and column sums. Run from the root of the checkout.
suppressMessages(library(jsonlite))
d <- read.csv("tests/reference/data/sim_pat_mmrm_233x6.csv", stringsAsFactors = TRUE)
d <- d[!is.na(d$chg), ]
formulas <- c(
  "chg ~ base + sev + arm * visit", "chg ~ 0 + arm + visit", "chg ~ arm:visit", "chg ~ arm:visit - 1",
  "chg ~ base:arm", "chg ~ arm + base:arm", "chg ~ arm * visit * sev", "chg ~ (arm + visit + sev)^2",
  "chg ~ visit:base + arm/visit", "chg ~ log(base) + I(base^2) + arm", "chg ~ sev * arm - sev",
  "chg ~ visit + arm:visit", "chg ~ base * arm + visit - base:arm", "chg ~ 1", "chg ~ visit:arm + sev + arm",
  "chg ~ -1 + base + arm:sev + visit", "chg ~ arm*visit - 1", "chg ~ base/arm", "chg ~ (arm+sev)*visit - arm:visit",
  "chg ~ I((base + 1)^2) + I(base + 1^2) + visit", "chg ~ I(base*123456.7891) + I(base*123456.7892^2) + visit",
  "chg ~ I(base*100000) + I(base^2*.0001) + I(base^3/1000) + visit", "chg ~ I(-(base+1)) + log((base)) + (arm+visit)^2",
  "chg ~ 0 + base:visit", "chg ~ 0 + base + arm:visit", "chg ~ sev:arm:visit", "chg ~ visit:sev + arm:visit - 1", "chg ~ (arm+visit)*base - base",
  "chg ~ visit + visit:base - 1 + arm", "chg ~ base + base:arm:visit", "chg ~ arm + visit + arm:visit:sev", "chg ~ 0 + 1 + visit")
out <- lapply(formulas, function(f) {
  x <- model.matrix(as.formula(f), d)
  list(formula = f, names = colnames(x), sums = as.numeric(colSums(x)))
})
write_json(list(program = R.version.string, data = "sim_pat_mmrm_233x6.csv", designs = out),
           "tests/reference/mmrm/design.json", auto_unbox = TRUE, digits = NA)
