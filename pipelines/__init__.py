"""Apache Beam pipelines that turn sources of music into dataset directories.

A stage's logic is pure functions that import no Beam; `tasks` wires them to an engine.
"""
