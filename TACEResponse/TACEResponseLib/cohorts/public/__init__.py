"""The public HCC-TACE-Seg collection: downloaded (`archive`), scanned (`scan`) and laid out as a cohort.

`layout` decides which scan and which segment of a patient is meant; `hcc_tace_seg` knows the
collection's own tables and names.
"""
