"""The file formats of the Million Song Dataset and of what others have published for its tracks."""
