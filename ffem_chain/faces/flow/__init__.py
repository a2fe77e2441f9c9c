"""Between a face and its latent: flows, their weights, noise, rotation, packing, exports."""
