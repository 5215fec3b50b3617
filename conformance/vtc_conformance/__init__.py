"""The conformance suite of vtc: any backend, held to the specification in one line.

    pytest --pyargs vtc_conformance --vtc-backend their_module

`protocol.py` says what a backend is, `tolerances.py` how close is close enough; the test files are named after the
verbs and the tests after the clauses of `vtc_core.spec`.
"""
