"""The contract between pipelines and trainers: tables, manifests, receipts, shards and the store.

This package imports nothing else of Tracklore. `pipelines` and `train` import it and never each other; what
passes between those two is a dataset directory that these modules describe. One module does otherwise: `train.hear`
asks `pipelines` to compute a feature, when a trained model is given a file of sound.
"""
