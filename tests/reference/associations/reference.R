# Writes reference.json: correlations, mediation, survival and proportions in R.
# Run in this folder: Rscript reference.R   (R 4.2.2, boot, survival, jsonlite)
suppressMessages({library(jsonlite); library(boot); library(survival)})
d <- read.csv("../data/sim_pat_mediation_n80.csv")
ct <- function(x, y, method) { r <- suppressWarnings(cor.test(x, y, method = method, exact = FALSE))
  list(estimate = as.numeric(r$estimate), p = r$p.value, ci = if (is.null(r$conf.int)) NULL else as.numeric(r$conf.int)) }
out <- list(program = R.version.string,
  packages = list(boot = as.character(packageVersion("boot")), survival = as.character(packageVersion("survival"))), script = "reference.R")

out$pearson <- ct(d$wai, d$grid_hamd_wk4, "pearson")
out$spearman <- ct(d$wai, d$grid_hamd_wk4, "spearman")
res <- function(v) residuals(lm(v ~ d$grid_hamd_base + d$expectancy))
out$partial <- list(estimate = cor(res(d$wai), res(d$grid_hamd_wk4)),
  p = summary(lm(grid_hamd_wk4 ~ wai + grid_hamd_base + expectancy, d))$coefficients["wai", 4])

# Repeated measures: 12 people, 3 to 6 rows each, written out so that the test reads the same rows.
set.seed(99); rows <- rep(1:12, times = rep(3:6, 3))
own <- rnorm(12)[rows]; x <- round(own + rnorm(length(rows)), 4); y <- round(-0.8 * x + 2 * own + rnorm(length(rows)), 4)
f <- lm(y ~ factor(rows) + x); a <- drop1(f, test = "F"); ss <- anova(f)["x", "Sum Sq"]; sse <- anova(f)["Residuals", "Sum Sq"]
means <- aggregate(cbind(x, y) ~ rows, FUN = mean); w <- as.numeric(table(rows))
out$repeated <- list(person = rows, x = x, y = y, within = sign(coef(f)[["x"]]) * sqrt(ss / (ss + sse)), df = f$df.residual,
  p = a["x", "Pr(>F)"], between = cov.wt(means[, c("x", "y")], wt = w / sum(w), cor = TRUE)$cor[1, 2])

p <- c(.002, .036, .014, .027, .040, .030, .0005, .0008, .010, .0009, .001)
out$adjust <- list(p = p, holm = p.adjust(p, "holm"), bh = p.adjust(p, "BH"))

# Mediation: single with covariates, parallel, serial; OLS products, Sobel, and boot's BCa and percentile with many draws.
ols <- function(f, d) summary(lm(f, d))$coefficients
single <- function(d, i) { d <- d[i, ]
  a <- coef(lm(meq30 ~ wai + grid_hamd_base + expectancy, d))[["wai"]]; m <- coef(lm(grid_hamd_wk4 ~ wai + meq30 + grid_hamd_base + expectancy, d))
  c(a * m[["meq30"]], m[["wai"]], a * m[["meq30"]] + m[["wai"]]) }
ca <- ols(meq30 ~ wai + grid_hamd_base + expectancy, d); cy <- ols(grid_hamd_wk4 ~ wai + meq30 + grid_hamd_base + expectancy, d)
A <- ca["wai", 1]; SA <- ca["wai", 2]; B <- cy["meq30", 1]; SB <- cy["meq30", 2]
set.seed(1); b <- boot(d, single, R = 20000)
ci <- function(k) { z <- boot.ci(b, index = k, type = c("perc", "bca")); list(percentile = z$percent[4:5], bca = z$bca[4:5]) }
out$single <- list(a = A, a_se = SA, b = B, b_se = SB, b_p = cy["meq30", 4], indirect = A * B, sobel = sqrt(A^2 * SB^2 + B^2 * SA^2),
  direct = cy["wai", 1], total = ols(grid_hamd_wk4 ~ wai + grid_hamd_base + expectancy, d)["wai", 1], boot = lapply(1:3, ci), boot_sd = apply(b$t, 2, sd))
out$parallel <- list(a = c(ols(meq30 ~ wai, d)["wai", 1], ols(piq ~ wai, d)["wai", 1]), b = unname(coef(lm(grid_hamd_wk4 ~ wai + meq30 + piq, d))[3:4]))
out$serial <- list(a1 = ols(meq30 ~ wai, d)["wai", 1], a2 = ols(piq ~ wai + meq30, d)["wai", 1], d21 = ols(piq ~ wai + meq30, d)["meq30", 1],
  total = ols(grid_hamd_wk4 ~ wai, d)["wai", 1])

# Kaplan-Meier and proportions.
time <- c(3,5,5,8,12,12,15,20,20,26,26,26,30,34,52,52,52,9,14,21); event <- c(1,1,0,1,1,1,0,1,1,1,0,1,1,0,0,1,0,1,0,1)
km <- function(type) { s <- summary(survfit(Surv(time, event) ~ 1, conf.type = type)); list(time = s$time, at_risk = s$n.risk, events = s$n.event,
  survival = s$surv, se = s$std.err, low = s$lower, high = s$upper) }
q <- quantile(survfit(Surv(time, event) ~ 1, conf.type = "log-log"), 0.5)
arm <- rep(c("a", "b"), 10); lr <- survdiff(Surv(time, event) ~ arm)
out$survival <- list(input = list(time = time, event = event, arm = arm), log_log = km("log-log"), plain = km("plain"),
  median = as.numeric(q$quantile), median_low = as.numeric(q$lower), median_high = as.numeric(q$upper), logrank = lr$chisq, logrank_p = 1 - pchisq(lr$chisq, 1))
shares <- list(c(24, 30), c(15, 30), c(0, 12), c(12, 12), c(20, 48), c(17, 24), c(13, 24))
out$proportions <- lapply(shares, function(s) list(x = s[1], n = s[2], wilson = as.numeric(prop.test(s[1], s[2], correct = FALSE)$conf.int),
  exact = as.numeric(binom.test(s[1], s[2])$conf.int)))
write(toJSON(out, auto_unbox = TRUE, digits = NA, na = "null"), "reference.json")
