"""Beta-VAE: one ResNet encoder and decoder over all components stacked as channels. Source: plan, part 1."""
