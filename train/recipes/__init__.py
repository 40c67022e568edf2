"""The shipped recipes, one YAML a configuration."""
