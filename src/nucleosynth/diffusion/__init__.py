"""The generator: a diffusion model conditioned on atypia class, nuclei mask and stain."""
