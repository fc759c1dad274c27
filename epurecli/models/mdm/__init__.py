"""MDM, the Multinomial Diffusion Model: pixels are labels that are hidden, or forgotten, and found again."""
