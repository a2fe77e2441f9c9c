"""A registry's history in one file that proves itself to somebody who has no node. docs/AUDIT.md has the layout.

`export` makes a bundle, `verify` checks it; neither believes anything that a trusted block hash does not cover.
"""
