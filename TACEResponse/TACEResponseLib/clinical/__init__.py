"""Clinical values with their units, and the published scores that are computed from them."""
