"""Statistics of predictions and cohorts: every function takes arrays and gives frozen dataclasses."""
