# Writes more.json: moderators that are words, R2 without tau2, intervals of I2 and H2, measures that reference.R does not have.
# Run in this folder: Rscript more.R   (R 4.2.2, metafor 3.8-1, jsonlite)
suppressMessages({library(metafor); library(jsonlite)})
tight <- list(threshold = 1e-12, tol = 1e-12, maxiter = 10000)
set.seed(20)
k <- 15
d <- data.frame(vi = round(exp(rnorm(k, -2.5, 1)), 5), dose = round(runif(k, 5, 30)),
                drug = sample(c("psilocybin", "MDMA", "LSD (mm120)"), k, TRUE), stringsAsFactors = FALSE)
d$yi <- round(rnorm(k, -0.4 - 0.3 * (d$drug == "MDMA"), sqrt(0.1 + d$vi)), 4)
d$drug <- factor(d$drug, levels = c("LSD (mm120)", "MDMA", "psilocybin"))
fits <- list()
for (m in c("REML", "DL", "PM", "FE")) for (t in c("z", "knha")) for (f in c("~ drug", "~ drug + dose")) {
  if (m == "FE" && t == "knha") next
  r <- rma(yi, vi, mods = as.formula(f), data = d, method = m, test = t, control = tight)
  ci <- if (m == "FE") NULL else confint(r, control = list(tol = 1e-12))$random
  fits[[length(fits) + 1]] <- list(method = m, test = t, moderators = all.vars(as.formula(f)), terms = rownames(r$beta),
    estimate = as.numeric(r$beta), se = r$se, p = r$pval, tau2 = r$tau2, i2 = r$I2, r2 = r$R2, qm = r$QM, qm_p = r$QMp,
    tau2_ci = ci[1, 2:3], i2_ci = ci[3, 2:3], h2_ci = ci[4, 2:3])
}
input <- list(m1 = c(12.5, 9.1, 14.2), sd1 = c(4, 3.5, 6.1), n1 = c(20, 33, 18), m2 = c(15.5, 13, 13.9), sd2 = c(5, 4.4, 5.2),
              n2 = c(21, 30, 19), x = c(0, 7, 18), n = c(20, 33, 18))
measures <- list()
for (m in c("PLN", "PAS", "PFT")) { e <- escalc(m, xi = x, ni = n, data = input); measures[[m]] <- list(yi = as.numeric(e$yi), vi = as.numeric(e$vi)) }
e <- escalc("ROM", m1i = m1, sd1i = sd1, n1i = n1, m2i = m2, sd2i = sd2, n2i = n2, data = input)
measures$ROM <- list(yi = as.numeric(e$yi), vi = as.numeric(e$vi))
write_json(list(program = R.version.string, metafor = as.character(packageVersion("metafor")), script = "more.R",
                data = list(yi = d$yi, vi = d$vi, dose = d$dose, drug = as.character(d$drug)), fits = fits, input = input,
                measures = measures), "more.json", digits = 15, auto_unbox = TRUE, null = "null")
