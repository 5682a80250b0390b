"""Programs as data, and the machine that executes them. Standard library and msgspec only."""
