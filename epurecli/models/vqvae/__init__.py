"""VQ-VAE: an autoencoder whose code is a grid of tokens, and a prior that draws tokens given parts and condition."""
