"""Deformations of sound, one file each, for test sets that ask how robust a model is (Won's thesis, 3.3.5)."""
