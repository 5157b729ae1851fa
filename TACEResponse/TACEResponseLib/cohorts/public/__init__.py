"""The public collections, laid out as cohorts.

HCC-TACE-Seg: downloaded (`archive`), scanned (`scan`) and laid out (`layout`, which decides which scan and
which segment of a patient is meant); `hcc_tace_seg` knows the collection's own tables and names. WAW-TACE:
`waw_tace` knows its table, names and outcome, `waw_layout` lays it out, `waw_fetch` fetches its archives
one after another from `zenodo`.
"""
