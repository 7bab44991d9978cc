# Writes reference.json: what metafor says about the data sets below.
# Run in this folder: Rscript reference.R   (R 4.2.2, metafor 3.8-1, jsonlite)
suppressMessages({library(metafor); library(jsonlite)})
tight <- list(threshold = 1e-10, maxiter = 20000, stepadj = 0.5, tol = 1e-13)

set.seed(4711)
random_set <- function(k, tau) {
  vi <- round(runif(k, 0.02, 0.4), 6)
  list(yi = round(rnorm(k, -0.6, sqrt(tau^2 + vi)), 6), vi = vi,
       dose = round(runif(k, 10, 30), 2), group = rep(c("group", "individual"), length.out = k))
}
trials <- list(
  n1 = c(25,12,13,79,50,26,15,16,12,20,18,14), n2 = c(25,14,11,79,44,26,15,14,10,10,19,18),
  m1 = c(6.64,7.10,8.5,19.90,16.1,11.16,6.33,23.44,4.8,12.0,7.17,4.84),
  sd1 = c(5.20,6.40,5.7,10.54,13.0,9.77,6.72,8.69,2.5,13.0,7.13,4.26),
  m2 = c(14.80,12.84,23.5,27.30,27.3,20.70,19.07,24.57,9.9,16.0,10.79,8.38),
  sd2 = c(7.25,7.48,6.0,10.23,12.5,10.24,10.34,6.52,3.2,8.0,10.97,4.10))
es <- escalc("SMD", m1i = m1, sd1i = sd1, n1i = n1, m2i = m2, sd2i = sd2, n2i = n2, data = trials)
sets <- list(
  trials = list(yi = as.numeric(es$yi), vi = as.numeric(es$vi),
                dose = c(22,21,25,25,25,15,25,25,25,25,25,25), group = rep(c("a","b"), 6)),
  eight = random_set(8, 0.35), forty = random_set(40, 0.2), agreeing = random_set(10, 0), three = random_set(3, 0.5))

methods <- c("REML", "ML", "PM", "EB", "DL", "HE", "SJ", "HS", "EE")
one <- function(r) list(k = r$k, estimate = r$beta[1], se = r$se[1], statistic = r$zval[1], p = r$pval[1],
  ci_low = r$ci.lb[1], ci_high = r$ci.ub[1], tau2 = r$tau2, i2 = r$I2, h2 = r$H2, q = r$QE, q_p = r$QEp,
  loglik = as.numeric(logLik(r, REML = r$method != "ML")))
fits <- list(); extras <- list()
for (s in names(sets)) {
  d <- sets[[s]]
  for (m in methods) for (t in c("z", "t", "knha")) {
    if (m == "EE" && t == "knha") next
    r <- rma(d$yi, d$vi, method = m, test = t, control = tight)
    out <- one(r)
    if (m != "EE") { p <- predict(r); out$prediction_low <- p$pi.lb; out$prediction_high <- p$pi.ub }
    fits[[length(fits) + 1]] <- c(list(set = s, method = if (m == "EE") "FE" else m, test = t), out)
  }
  r <- rma(d$yi, d$vi, method = "REML", test = "knha", control = tight)
  profile <- confint(r, control = list(tol = 1e-12, tau2.max = 1000))$random["tau^2", ]
  e <- list(set = s, tau2_low = profile[["ci.lb"]], tau2_high = profile[["ci.ub"]])
  l1 <- leave1out(r); e$leave_one_out <- list(estimate = l1$estimate, se = l1$se, tau2 = l1$tau2, p = l1$pval)
  if (r$k > 3) {
    cu <- cumul(r); e$cumulative <- list(estimate = cu$estimate[-1], se = cu$se[-1], tau2 = cu$tau2[-1])
    g <- regtest(r, model = "lm"); e$egger_lm <- list(statistic = g$zval, df = g$dfs, p = g$pval, limit = g$est)
    g <- regtest(rma(d$yi, d$vi, method = "REML", control = tight), model = "rma")
    e$egger_rma <- list(statistic = g$zval, p = g$pval, limit = g$est)
    for (est in c("L0", "R0")) {
      # trimfill refits with metafor's own control, and its scoring does not always converge: then there is no reference.
      tf <- tryCatch(trimfill(rma(d$yi, d$vi, method = "REML", control = tight), estimator = est), error = function(e) NULL)
      if (is.null(tf)) next
      e[[paste0("trimfill_", est)]] <- list(side = tf$side, filled = tf$k0, se = tf$se.k0, estimate = tf$beta[1],
        pooled_se = tf$se, tau2 = tf$tau2)
    }
    for (m in c("REML", "DL", "PM", "ML", "SJ", "HE", "EE")) for (t in c("z", "knha")) {
      if (m == "EE" && t == "knha") next
      mr <- rma(d$yi, d$vi, mods = ~ dose + group, data = d, method = m, test = t, control = tight)
      e$regression[[length(e$regression) + 1]] <- list(method = if (m == "EE") "FE" else m, test = t,
        estimate = as.numeric(mr$beta), se = mr$se, p = mr$pval, tau2 = mr$tau2, i2 = mr$I2, q = mr$QE, qm = mr$QM, qm_p = mr$QMp,
        r2 = if (is.null(mr$R2)) NA else mr$R2)
    }
  }
  extras[[length(extras) + 1]] <- e
}

two <- list(a = c(29,23,29,10,15,0,0,5), n1 = c(79,25,50,12,26,10,12,5), c = c(14,8,9,2,4,2,0,3), n2 = c(79,25,44,14,26,11,12,6))
change <- list(m1 = c(22.8,31.9,14.4), sd1 = c(3.9,5.4,4.0), m2 = c(8.7,19.9,14.1), sd2 = c(7.6,10.5,3.0), n = c(24,79,11), r = c(.2,.5,.8))
corr <- list(r = c(-.65,.49,-.85,.1), n = c(20,20,24,80))
one_p <- list(x = c(24,0,15,30), n = c(30,12,28,30))
pair <- function(e) list(yi = as.numeric(e$yi), vi = as.numeric(e$vi))
effects <- list()
for (m in c("MD", "SMD", "SMD1"))
  effects[[m]] <- c(list(input = trials), pair(escalc(m, m1i = m1, sd1i = sd1, n1i = n1, m2i = m2, sd2i = sd2, n2i = n2, data = trials)))
for (m in c("RR", "OR", "RD"))
  effects[[m]] <- c(list(input = two), pair(escalc(m, ai = a, n1i = n1, ci = c, n2i = n2, data = two, drop00 = m != "RD")))
for (m in c("MC", "SMCC", "SMCR"))
  effects[[m]] <- c(list(input = change), pair(escalc(m, m1i = m1, sd1i = sd1, m2i = m2, sd2i = sd2, ni = n, ri = r, data = change)))
for (m in c("ZCOR", "COR")) effects[[m]] <- c(list(input = corr), pair(escalc(m, ri = r, ni = n, data = corr)))
for (m in c("PR", "PLO")) effects[[m]] <- c(list(input = one_p), pair(escalc(m, xi = x, ni = n, data = one_p)))

write(toJSON(list(program = R.version.string, package = paste("metafor", packageVersion("metafor")), script = "reference.R",
  sets = sets, fits = fits, extras = extras, effects = effects), auto_unbox = TRUE, digits = NA, na = "null", pretty = FALSE), "reference.json")
