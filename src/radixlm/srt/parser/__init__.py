"""Parsers of what models write, under SGLang's path."""
