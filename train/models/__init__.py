"""Encoders of audio and text, and the network that joins them."""
