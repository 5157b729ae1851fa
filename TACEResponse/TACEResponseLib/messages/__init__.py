"""What the program says: texts in the reader's language, errors with names, progress of long work."""
