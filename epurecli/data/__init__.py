"""Data sets: folders of PNGs with a CSV of conditions, and the built-in toy set."""
