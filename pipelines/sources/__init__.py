"""Sources: where music, and what is said of it, comes from. One module a source, named by its `kind`."""
