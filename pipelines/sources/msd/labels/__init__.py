"""What was published on the tracks of the Million Song Dataset; one module a release, found by its name.

A module assigns `LABELS`, an instance of `pipelines.sources.msd.label_source.LabelSource`.
"""
