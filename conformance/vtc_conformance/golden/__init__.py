"""Golden vectors: inputs and results of the specification as files, for implementations that are not in Python.

`golden.npz` holds arrays, `index.json` says what they are. `python -m vtc_conformance.golden` writes them again,
`--check` compares with what is there.
"""
