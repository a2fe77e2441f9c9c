"""Audit from the chain alone: the history rebuilt from logs, proven against storage, and what is wrong with it.

`source` reads events, `history` rebuilds the state, `storage` and `proofs` compare it with the contract's storage,
`findings` names anomalies, `timeline` and `views` put it into words, `run` does all of it. `copy` and `sync` keep the
logs where nodes may prune theirs.
"""
