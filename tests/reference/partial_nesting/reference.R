# Writes reference.json: partially nested models in lme4/lmerTest and nlme.
# Run in this folder: Rscript reference.R   (R 4.2.2, lme4 1.1-31, lmerTest 3.1-3, nlme 3.1-162, jsonlite)
suppressMessages({library(jsonlite); library(lme4); library(lmerTest); library(nlme)})
d <- read.csv("../data/sim_pat_cohorts.csv")
v <- function(p) as.character(packageVersion(p))
out <- list(program = R.version.string, packages = list(lme4 = v("lme4"), lmerTest = v("lmerTest"), nlme = v("nlme")), script = "reference.R")

# One residual variance, random cohort effect in the therapy arm only.
m <- lmer(chg ~ base + grp + (0 + grp | cohort), d, REML = TRUE, control = lmerControl(optCtrl = list(xtol_rel = 1e-12, ftol_abs = 1e-14)))
s <- coef(summary(m))
vc <- as.data.frame(VarCorr(m))
out$equal <- list(estimate = s[, 1], se = s[, 2], df = s[, 3], p = s[, 5], cohort = vc$vcov[1], residual = vc$vcov[2], m2loglik = -2 * as.numeric(logLik(m)))

# A residual variance per arm.
h <- lme(chg ~ base + grp, random = ~ 0 + grp | cohort, weights = varIdent(form = ~ 1 | grp), data = d, method = "REML",
  control = lmeControl(msTol = 1e-12, tolerance = 1e-10, niterEM = 50, msMaxIter = 500, opt = "optim", maxIter = 200))
ratio <- as.numeric(coef(h$modelStruct$varStruct, unconstrained = FALSE)); first <- d$grp[1]
sig <- h$sigma^2; other <- sig * ratio^2
out$unequal <- list(estimate = as.numeric(fixef(h)), se = as.numeric(sqrt(diag(vcov(h)))), cohort = as.numeric(VarCorr(h)[1, 1]),
  residual_grp = if (first == 1) sig else other, residual_control = if (first == 1) other else sig, m2loglik = -2 * as.numeric(logLik(h)))

# Three levels: people in cohorts, cohorts with facilitators (crossed), a fixed set of codes so that the test reads the same.
set.seed(5); d$facilitator <- ifelse(d$grp == 1, paste0("F", 1 + (as.integer(factor(d$cohort)) * 7) %% 5), NA)
u <- rnorm(5, 0, 3); d$y <- round(d$chg + ifelse(d$grp == 1, u[as.integer(factor(d$facilitator))], 0), 3)
d$f0 <- ifelse(is.na(d$facilitator), "none", d$facilitator)
t3 <- lmer(y ~ base + grp + (0 + grp | cohort) + (0 + grp | f0), d, REML = TRUE, control = lmerControl(optCtrl = list(xtol_rel = 1e-12, ftol_abs = 1e-14)))
s <- coef(summary(t3)); vc <- as.data.frame(VarCorr(t3))
out$three <- list(input = list(facilitator = d$facilitator, y = d$y), estimate = s[, 1], se = s[, 2], df = s[, 3],
  cohort = vc$vcov[vc$grp == "cohort"], facilitator = vc$vcov[vc$grp == "f0"], residual = vc$vcov[vc$grp == "Residual"], m2loglik = -2 * as.numeric(logLik(t3)))
write(toJSON(out, auto_unbox = TRUE, digits = NA, na = "null"), "reference.json")
