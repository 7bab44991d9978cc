# Two mediators, parallel and serial, with two covariates: effects and first-order errors by lavaan.
# Run from the root of the checkout: Rscript tests/reference/associations/lavaan.R
# lavaan's variances are of maximum likelihood; each equation's is brought to the degrees of freedom of least squares.
suppressMessages({library(lavaan); library(jsonlite)})
d <- read.csv("tests/reference/data/sim_pat_mediation_n80.csv")
z <- data.frame(x = d$wai, m1 = d$meq30, m2 = d$piq, y = d$grid_hamd_wk4, k1 = d$grid_hamd_base, k2 = d$expectancy)
n <- nrow(z)
fitted <- function(serial) {
  model <- paste0("m1 ~ a1*x + k1 + k2\nm2 ~ a2*x", if (serial) " + d*m1", " + k1 + k2\ny ~ c*x + b1*m1 + b2*m2 + k1 + k2",
                  if (!serial) "\nm1 ~~ m2")
  fit <- sem(model, z, meanstructure = TRUE, fixed.x = TRUE, control = list(rel.tol = 1e-14))
  label <- c("a1", "a2", if (serial) "d", "c", "b1", "b2")
  used <- c(a1 = 4, a2 = if (serial) 5 else 4, d = 5, c = 6, b1 = 6, b2 = 6)[label]
  scale <- sqrt(n / (n - used))
  v <- vcov(fit)[label, label] * outer(scale, scale)
  b <- coef(fit)[label]
  effects <- function(b) with(as.list(b), {
    routes <- c(a1 * b1, a2 * b2, if (serial) a1 * d * b2)
    c(routes, sum(routes), c, sum(routes) + c)
  })
  g <- sapply(label, function(one) { h <- 1e-6; up <- b; up[one] <- up[one] + h; down <- b; down[one] <- down[one] - h
    (effects(up) - effects(down)) / (2 * h) })
  list(estimate = unname(effects(b)), se = unname(sqrt(diag(g %*% v %*% t(g)))))
}
write_json(list(program = R.version.string, lavaan = as.character(packageVersion("lavaan")),
                parallel = fitted(FALSE), serial = fitted(TRUE)), "tests/reference/associations/lavaan.json", digits = 12, auto_unbox = TRUE, pretty = TRUE)
