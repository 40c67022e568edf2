"""What a trained run is worth, and what it is for: retrieval, tagging, search."""
