"""A permanent opponent: seeded mutations of every format that is read, compared with what was written.

A mutation either keeps the meaning of a file, or changes it into another that is known, or breaks it.
A right file must be read as its meaning; a broken one must be refused by a named error, or be read as
what it was. Everything else is a silent difference, and so is no error where another value came out.
"""
