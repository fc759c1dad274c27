"""The inverse question: what designs have the figures that are wanted? Predict, search, choose."""
