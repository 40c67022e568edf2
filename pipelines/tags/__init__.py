"""Tags: what people typed becomes one vocabulary, and every track gets its words."""
