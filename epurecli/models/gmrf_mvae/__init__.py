"""GMRF MVAE: one VAE per component, their latents coupled by a Gaussian Markov random field.

Source: docs/plan.md, GMRF MVAE.
"""
