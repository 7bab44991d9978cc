# R's own mmrm on small simulated trials (sets/*.csv): missing visits, drop-out, weights, a covariance per group, factors whose
# levels have capitals or digits, ids of digits and of signs, visits in any order of rows. Every covariance by REML with
# Satterthwaite; Kenward-Roger in both forms, between-within, residual and the empirical covariances on some; ML.
# BFGS to 1e-15: with its defaults mmrm stops up to 1e-3 of a small coefficient before the maximum.
# Run from the root of the checkout: Rscript tests/reference/mmrm/mmrm.R
suppressMessages({library(mmrm); library(jsonlite); library(emmeans)})
sets <- list(
  list(data = "a.csv", formula = "y ~ base * visit + arm * visit", weights = "w", group = "sex"),
  list(data = "b.csv", formula = "y ~ base + sex + arm + visit", weights = "w"),
  list(data = "c.csv", formula = "y ~ base + arm * visit", weights = "w"),
  list(data = "d.csv", formula = "y ~ base + arm * visit"))
structures <- c("us", "toep", "toeph", "ar1", "ar1h", "cs", "csh", "ad", "adh", "sp_exp")
more <- list(c("Kenward-Roger", "Kenward-Roger"), c("Kenward-Roger", "Kenward-Roger-Linear"), c("Between-Within", "Asymptotic"),
  c("Residual", "Asymptotic"), c("Satterthwaite", "Empirical"), c("Satterthwaite", "Empirical-Bias-Reduced"),
  c("Satterthwaite", "Empirical-Jackknife"))
fits <- list()
for (set in sets) {
  d <- read.csv(file.path("tests/reference/mmrm/sets", set$data), colClasses = c(id = "character"))
  for (v in c("arm", "sex", "visit", "id")) d[[v]] <- factor(d[[v]])
  for (name in structures) {
    asked <- c(list(c("reml", "Satterthwaite", "Asymptotic"), c("ml", "Satterthwaite", "Asymptotic")),
      if (name %in% c("us", "csh", "sp_exp")) lapply(more, function(one) c("reml", one)))
    for (one in asked) {
      formula <- sprintf("%s + %s(%s | %sid)", set$formula, name, if (name == "sp_exp") "time" else "visit",
                         if (is.null(set$group)) "" else paste(set$group, "/ "))
      fit <- do.call(mmrm, list(as.formula(formula), data = d, reml = one[1] == "reml",
        weights = if (is.null(set$weights)) NULL else d[[set$weights]],
        control = mmrm_control(method = one[2], vcov = one[3], optimizer = "BFGS", optimizer_control = list(reltol = 1e-15, maxit = 3000))))
      table <- summary(fit)$coefficients
      said <- c(set, list(covariance = name, method = one[1], df = tolower(one[2]), vcov = tolower(one[3]),
        m2loglik = as.numeric(-2 * logLik(fit)), n_subjects = component(fit, "n_subjects"),
        coefficients = data.frame(term = rownames(table), estimate = table[, 1], se = table[, 2], df = table[, 3])))
      if (one[1] == "reml" && !grepl("Residual|Between|Empirical", paste(one, collapse = " "))) {
        means <- as.data.frame(contrast(emmeans(fit, ~ arm | visit), "revpairwise", adjust = "none"))
        said$contrasts <- means[, c("contrast", "visit", "estimate", "SE", "df")]
      }
      fits[[length(fits) + 1]] <- said
    }
  }
}
write_json(list(program = R.version.string, package = "mmrm", version = as.character(packageVersion("mmrm")),
  emmeans = as.character(packageVersion("emmeans")), fits = fits), "tests/reference/mmrm/mmrm.json", auto_unbox = TRUE, digits = 10)
