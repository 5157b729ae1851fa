"""From voxels to numbers: one case, many cases, and the table of patients that models look at."""
