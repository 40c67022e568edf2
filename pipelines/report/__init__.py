"""The page and the card of a dataset: what a researcher would paste into an appendix."""
