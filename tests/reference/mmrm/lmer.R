# Random-intercept models: the marginal model is compound symmetry. lmerTest gives Satterthwaite's degrees of
# freedom, pbkrtest those of Kenward and Roger with the adjusted covariance, emmeans least-squares means.
# Run from the root of the checkout: Rscript tests/reference/mmrm/lmer.R
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(jsonlite)})

formulas <- c("24x4" = "chg ~ base + arm * visit", "233x6" = "chg ~ base + sev + arm * visit")
emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 1e5)
sums <- list()
for (set in names(formulas)) {
  file <- sprintf("sim_pat_mmrm_%s.csv", set)
  d <- read.csv(file.path("tests/reference/data", file), stringsAsFactors = TRUE)
  d <- d[!is.na(d$chg), ]
  call <- sprintf("lmerTest::lmer(%s + (1 | usubjid), data = d, REML = TRUE)", formulas[[set]])
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e6))
  fit <- lmerTest::lmer(as.formula(paste(formulas[[set]], "+ (1 | usubjid)")), data = d, REML = TRUE, control = control)
  sat <- summary(fit, ddf = "Satterthwaite")$coefficients
  kr <- summary(fit, ddf = "Kenward-Roger")$coefficients
  means <- function(mode, weights) as.data.frame(summary(emmeans(fit, ~ arm | visit, lmer.df = mode, weights = weights), infer = TRUE))
  pairs <- function(mode) as.data.frame(summary(contrast(emmeans(fit, ~ arm | visit, lmer.df = mode), "revpairwise", adjust = "none"), infer = TRUE))
  tests <- function(ddf) { a <- anova(fit, type = 3, ddf = ddf); data.frame(term = rownames(a), num_df = a$NumDF, den_df = a$DenDF, f = a[["F value"]], p = a[["Pr(>F)"]]) }
  sums[[length(sums) + 1]] <- list(
    data = file, formula = formulas[[set]], call = call, m2loglik = as.numeric(REMLcrit(fit)),
    satterthwaite = data.frame(term = rownames(sat), estimate = sat[, 1], se = sat[, 2], df = sat[, 3], p = sat[, 5]),
    kenward_roger = data.frame(term = rownames(kr), estimate = kr[, 1], se = kr[, 2], df = kr[, 3], p = kr[, 5]),
    lsmeans = means("satterthwaite", "equal"), lsmeans_proportional = means("satterthwaite", "proportional"),
    lsmeans_kenward_roger = means("kenward-roger", "equal"),
    contrasts = pairs("satterthwaite"), tests = tests("Satterthwaite"), tests_kenward_roger = tests("Kenward-Roger"))
}
versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "emmeans"), function(p) as.character(packageVersion(p)))
write_json(list(program = R.version.string, packages = as.list(versions), fits = sums),
           "tests/reference/mmrm/lmer.json", auto_unbox = TRUE, digits = NA, pretty = TRUE)
