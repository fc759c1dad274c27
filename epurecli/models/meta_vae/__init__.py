"""Meta-VAE: a VAE over the latents of frozen component decoders. Source: plan, part 3."""
