"""How loud a sample may be."""

LOUDEST = 65_536.0
"""Full scale is 1; files of floating-point numbers may hold those of 16-bit ones. What is beyond is damage."""
