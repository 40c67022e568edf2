"""The trainer: reads a dataset directory through `schemas`, trains, measures, searches. Never imports `pipelines`."""
