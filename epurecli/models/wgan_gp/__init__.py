"""WGAN-GP: a generator that completes designs in one pass, and a critic that tells them from real ones."""
