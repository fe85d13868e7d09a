"""Training of generators: batches, fine-tuning, validation loss, distillation, the tissue prior."""
