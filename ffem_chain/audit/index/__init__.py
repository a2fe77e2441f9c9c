"""The logs of one registry in SQLite, and what follows from them: the fast form of this machine's copy.

`store` is the file, `links` says under which names an event is found, `update` reads the chain and goes along with its
reorganisations, `slices` finds the events that a question needs, `trie` keeps the contract's storage root up to date,
so that it can be compared with the chain's at every question, `lists` has what is in batches. `ask` answers.
docs/AUDIT.md, "The index".
"""
