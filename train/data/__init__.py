"""From a dataset directory to batches: the shard reader, its order, the text of a track."""
