"""What a design looks like: which part owns a pixel, the full section in colour, one palette. Numpy alone; it knows no
model, no file and no page."""
