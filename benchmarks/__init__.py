"""Speed as a ratio to a named peer, both run in turns on the same files. `make bench` runs every file."""
