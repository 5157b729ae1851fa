"""From a CT without an outline to a draft of one, which a person looks at before anything uses it."""
