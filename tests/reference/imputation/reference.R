# Writes reference.json: conditional-mean imputation under reference-based assumptions, from nlme::gls and base R.
# Run in this folder: Rscript reference.R   (R 4.2.2, nlme 3.1-162, jsonlite)
suppressMessages({library(jsonlite); library(nlme)})
d <- read.csv("../data/sim_pat_mmrm_233x6.csv", na.strings = c("", "NA"))
visits <- sort(unique(d$visit)); arms <- sort(unique(d$arm)); last <- length(visits)
d$vn <- match(d$visit, visits)
o <- d[!is.na(d$chg), ]
g <- gls(chg ~ factor(visit) * (arm + base), o, correlation = corSymm(form = ~ vn | usubjid), weights = varIdent(form = ~ 1 | vn), method = "REML",
  control = glsControl(msMaxIter = 500, msTol = 1e-12, tolerance = 1e-12, maxIter = 500, returnObject = TRUE))
R <- corMatrix(g$modelStruct$corStruct); full <- R[[which.max(sapply(R, nrow))]]
w <- coef(g$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)[as.character(seq_along(visits))]
S <- diag(g$sigma * w) %*% full %*% diag(g$sigma * w)
ids <- sort(unique(d$usubjid)); first <- d[match(ids, d$usubjid), ]
mean_of <- function(arm) sapply(visits, function(v) { X <- model.matrix(~ factor(visit, levels = visits) * (arm + base),
    data.frame(visit = v, arm = factor(arm, levels = arms), base = first$base)); as.numeric(X %*% coef(g)) })
own <- mean_of(first$arm); ref <- mean_of(rep(arms[1], nrow(first)))
Y <- t(sapply(ids, function(id) { r <- d[d$usubjid == id, ]; r$chg[match(visits, r$visit)] }))
complete <- function(strategy) { Z <- Y
  for (i in seq_len(nrow(Y))) { miss <- is.na(Y[i, ]); if (!any(miss)) next
    seen <- if (all(miss)) 0 else max(which(!miss)); after <- seq_along(visits) > seen; m <- own[i, ]
    if (strategy == "J2R") m[after] <- ref[i, after]
    if (strategy == "CR") m <- ref[i, ]
    if (strategy == "CIR") m[after] <- if (seen == 0) ref[i, after] else own[i, seen] + ref[i, after] - ref[i, seen]
    if (strategy == "LMCF" && seen > 0) m[after] <- own[i, seen]
    s <- !miss
    Z[i, miss] <- if (any(s)) m[miss] + S[miss, s, drop = FALSE] %*% solve(S[s, s], Y[i, s] - m[s]) else m[miss] }
  Z }
out <- list(program = R.version.string, packages = list(nlme = as.character(packageVersion("nlme"))), script = "reference.R", arms = arms, visit = visits[last])
for (s in c("MAR", "J2R", "CIR", "CR", "LMCF")) {
  z <- complete(s)[, last]; f <- summary(lm(z ~ arm + base, data.frame(z = z, arm = first$arm, base = first$base)))$coefficients
  out[[s]] <- list(estimate = f[2:3, 1]) }
# Rubin's rules and Barnard-Rubin df by hand on given numbers.
q <- c(-2.8, -2.5, -3.1, -2.9, -2.6); u <- c(1.20, 1.25, 1.18, 1.30, 1.22)
m <- length(q); B <- var(q); W <- mean(u); Tt <- W + (1 + 1/m) * B; l <- (1 + 1/m) * B / Tt; vc <- 169
vo <- (1 - l) * vc * (vc + 1) / (vc + 3); vm <- (m - 1) / l^2
out$rubin <- list(estimates = q, variances = u, df_complete = vc, estimate = mean(q), se = sqrt(Tt), df = 1 / (1 / vm + 1 / vo))
write(toJSON(out, auto_unbox = TRUE, digits = NA), "reference.json")
