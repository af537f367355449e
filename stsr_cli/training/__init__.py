"""Training: f_S and f_T alone, then both streams together."""
