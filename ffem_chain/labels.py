"""What is said of a grant or a keeper set wherever it is shown: these words and nothing stronger."""

from __future__ import annotations

DIRECT_LABEL = "openings leave no receipt, cannot be revoked"
OWNER_KEEPER_LABEL = "receipts bind recipients, not the owner"
MANY_LABEL = "one receipt covers all of its captures, those sealed later included"
HELD_LABEL = "its key was released before and is in this vault: no new receipt"
