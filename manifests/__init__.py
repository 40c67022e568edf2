"""The recipes that come with Tracklore: one YAML file a dataset, and the rules that they share."""
