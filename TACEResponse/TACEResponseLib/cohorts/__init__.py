"""Many patients: their table, the check before any work, and the public collections."""
