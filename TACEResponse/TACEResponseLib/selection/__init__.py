"""Which features a model sees: the agreement of two readers, and recursive elimination."""
