"""Features: from an audio file to the tensors of a shard. One module a kind."""
