"""How generators learn: batches, fine-tuning, validation loss, distillation, the tissue prior."""
