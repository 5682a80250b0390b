"""The executor: a plan of rows becomes tensors, logits, and next tokens."""
