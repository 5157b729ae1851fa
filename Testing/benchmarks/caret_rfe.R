# One caret rfe on a CSV (label, then features), timed. Arguments: file, workers, sizes (comma), trees.
# Prints wall seconds and CPU seconds of this process and its workers.
suppressMessages({library(caret); library(randomForest)})
arguments <- commandArgs(TRUE)
cohort <- read.csv(arguments[1])
workers <- as.integer(arguments[2])
sizes <- as.integer(strsplit(arguments[3], ",")[[1]])
if (workers > 1) { suppressMessages(library(doParallel)); registerDoParallel(workers) }
response <- factor(ifelse(cohort$label == 1, "R", "NR"), levels = c("NR", "R"))
set.seed(1)
index <- createFolds(response, 5, returnTrain = TRUE)
control <- rfeControl(functions = rfFuncs, method = "cv", number = 5, index = index, allowParallel = workers > 1)
set.seed(2)
time <- system.time(rfe(cohort[, -1], response, sizes = sizes, rfeControl = control, ntree = as.integer(arguments[4])))
cat(sprintf("seconds %.3f %.3f\n", time[["elapsed"]], sum(time[c("user.self", "sys.self", "user.child", "sys.child")])))
