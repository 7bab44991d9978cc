# Writes levels.json: several effects per study, by rma.mv and clubSandwich, on sets generated here.
# Run in this folder: Rscript levels.R   (R 4.2.2, metafor 3.8-1, clubSandwich 0.5.8, jsonlite)
suppressMessages({library(metafor); library(clubSandwich); library(jsonlite)})
set.seed(2026)
made <- function(sizes, between, within, rho, scale = 1) {
  study <- rep(sprintf("S%02d", seq_along(sizes)), sizes)
  vi <- signif(scale^2 * unlist(lapply(sizes, function(m) runif(1, .03, .3) * runif(m, .8, 1.25))), 6)
  shared <- rep(rnorm(length(sizes)), sizes)
  error <- sqrt(vi) * (sqrt(rho) * rep(rnorm(length(sizes)), sizes) + sqrt(1 - rho) * rnorm(length(vi)))
  yi <- signif(scale * (-.8 + between * shared + within * rnorm(length(vi))) + error, 6)
  data.frame(study = study, yi = yi, vi = vi, day = round(runif(length(vi), 1, 180)),
             design = rep(sample(c("crossover", "parallel", "waitlist"), length(sizes), TRUE), sizes))
}
sets <- list(
  twelve = made(c(1, 2, 6, 1, 2, 2, 5, 5, 3, 4, 3, 3), .3, .2, .6), balanced = made(rep(5, 11), .25, .15, 0),
  many = made(sample(1:6, 30, TRUE), .4, .3, .8), flat = made(sample(2:5, 9, TRUE), 0, .3, .5),
  alike = made(sample(2:5, 10, TRUE), .5, 0, .6), few = made(c(2, 3, 2, 3), .4, .2, .6),
  tiny = made(sample(1:6, 15, TRUE), .3, .2, .6, 1e-4), huge = made(sample(1:6, 15, TRUE), .3, .2, .6, 1e3))
fitted <- function(d, V, f, method, test) {
  # As tight as the optimiser still reports success.
  for (control in list(list(rel.tol = 1e-14), list(rel.tol = 1e-12), list(rel.tol = 1e-10), list())) {
    r <- tryCatch(suppressWarnings(rma.mv(yi, V, mods = f, random = ~ 1 | study/id, data = d, method = method,
      test = if (test == "z") "z" else "t", dfs = if (test == "contain") "contain" else "residual", control = control)),
      error = function(e) NULL)
    if (!is.null(r)) return(r)
  }
}
fits <- list()
for (s in names(sets)) for (case in list(c("0.6", "REML", ""), c("0", "REML", ""), c("0.6", "ML", ""), c("0.6", "REML", "day"),
                                         c("0.6", "REML", "day+design"), c("0.3", "ML", "day"))) {
  rho <- as.numeric(case[1]); method <- case[2]; mods <- case[3]
  if (s == "few" && mods == "day+design") next
  d <- sets[[s]]; d$id <- seq_len(nrow(d))
  f <- if (mods == "") ~ 1 else as.formula(paste("~", mods))
  V <- vcalc(vi, cluster = study, obs = id, rho = rho, data = d)
  z <- fitted(d, V, f, method, "z"); p <- length(z$beta)
  out <- list(set = s, rho = rho, method = method, moderators = all.vars(f), estimate = as.numeric(z$beta), se = z$se,
    p = z$pval, sigma2 = z$sigma2, loglik = as.numeric(logLik(z)), q = z$QE, q_p = z$QEp)
  W <- solve(V); X <- model.matrix(z); P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
  out$i2 <- 100 * z$sigma2 / (sum(z$sigma2) + (z$k - z$p) / sum(diag(P)))
  for (t in c("residual", "contain")) {
    r <- fitted(d, V, f, method, t)
    out[[t]] <- list(df = as.numeric(r$ddf), ci_low = r$ci.lb, ci_high = r$ci.ub, p = r$pval)
    if (mods == "") out[[t]]$prediction <- c(predict(r)$pi.lb, predict(r)$pi.ub)
    else out[[t]]$joint <- c(r$QM, r$QMp)
  }
  # clubSandwich drops eigenvalues below 1e-12 whatever the scale, so that nothing is left of the tiny set.
  test <- coef_test(z, "CR2"); ci <- conf_int(z, "CR2")
  if (s != "tiny") out$cr2 <- list(se = test$SE, df = test$df, p = test$p_Satt, ci_low = ci$CI_L, ci_high = ci$CI_U)
  if (mods == "") {
    out$prediction <- c(predict(z)$pi.lb, predict(z)$pi.ub)
    # Profile likelihoods take R long: for three of the sets.
    if (rho == .6 && method == "REML" && s %in% c("balanced", "flat", "few")) out$profile <- lapply(1:2, function(i) tryCatch(as.numeric(suppressWarnings(
      confint(z, sigma2 = i, control = list(tol = 1e-10))$random[1, 2:3])), error = function(e) NA))
  } else {
    out$joint <- c(z$QM, z$QMp)
    if (s != "tiny") {
      w <- Wald_test(z, constrain_zero(2:p), "CR2")
      out$hotelling <- list(f = w$Fstat, df = w$df_denom, p = w$p_val)
    }
  }
  fits[[length(fits) + 1]] <- out
}
write_json(list(program = R.version.string, packages = c(paste("metafor", packageVersion("metafor")),
  paste("clubSandwich", packageVersion("clubSandwich"))), script = "levels.R", sets = sets, fits = fits),
  "levels.json", digits = NA, auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns")
