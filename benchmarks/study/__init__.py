"""Does it learn? Every finding that is claimed, on corpora whose truth is known, over three seeds."""
