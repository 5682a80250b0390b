"""Compiled kernels, one file each; what they compute stands in plain torch in `models/`."""
