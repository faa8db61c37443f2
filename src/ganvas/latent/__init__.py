"""Latent spaces of trained generators: paths, projection, directions."""
