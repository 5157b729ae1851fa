"""From measured patients and their outcome to a model: folds, fits, and the run of both."""
