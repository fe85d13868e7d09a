"""The denoiser: U-Net, conditioning, preconditioning, loss, and the card that describes a model."""
