"""The trainer: reads a dataset directory through `schemas`, trains, measures, searches.

It never imports `pipelines`: what passes between the two is a directory.
"""
