# R's mediation on the simulated trial: linear models, bootstrap percentile intervals, and the sensitivity analysis (medsens).
# Run from the root of the checkout: Rscript tests/reference/associations/mediation.R
suppressMessages({library(mediation); library(jsonlite)})
set.seed(1)
d <- read.csv("tests/reference/data/sim_pat_mediation_n80.csv")
m <- lm(meq30 ~ wai + expectancy + grid_hamd_base, d)
y <- lm(grid_hamd_wk4 ~ wai + meq30 + expectancy + grid_hamd_base, d)
fit <- mediate(m, y, treat = "wai", mediator = "meq30", boot = TRUE, sims = 500)
plain <- mediate(m, y, treat = "wai", mediator = "meq30", sims = 100)
sens <- medsens(plain, rho.by = 0.1, effect.type = "indirect")
effect <- function(estimate, ci) list(estimate = as.numeric(estimate), ci_low = as.numeric(ci[1]), ci_high = as.numeric(ci[2]))
write_json(list(program = R.version.string, package = "mediation", version = as.character(packageVersion("mediation")),
  data = "sim_pat_mediation_n80.csv", sims = 500,
  indirect = effect(fit$d0, fit$d0.ci), direct = effect(fit$z0, fit$z0.ci), total = effect(fit$tau.coef, fit$tau.ci),
  proportion = list(estimate = as.numeric(fit$n0)),
  rho = sens$rho, indirect_at_rho = as.numeric(sens$d0), rho_at_zero = sens$err.cr.d,
  r2_residual = sens$R2star.d.thresh, r2_total = sens$R2tilde.d.thresh),
  "tests/reference/associations/mediation.json", auto_unbox = TRUE, digits = 12)
