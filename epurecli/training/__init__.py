"""THE training loop, its state, and what it reports."""
