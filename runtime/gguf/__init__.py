"""GGUF files: what they say, their numbers, their tokenizer."""
