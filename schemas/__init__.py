"""The contract between pipelines and trainers: tables, manifests, receipts, shards and the store.

This package imports nothing else of Tracklore. `pipelines` and `train` import it and never each other; what
passes between those two is a dataset directory that these modules describe.
"""
