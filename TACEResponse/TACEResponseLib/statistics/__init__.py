"""Arrays in, frozen dataclasses out: how well scores tell patients apart, and how sure that is."""
