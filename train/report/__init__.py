"""The page of a run: a view of what its directory holds."""
