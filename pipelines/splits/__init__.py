"""Splits: no artist and no recording in two of them, and every tag in each by its share."""
