"""Which tracks are the same recording: fingerprints matched, and united into groups."""
