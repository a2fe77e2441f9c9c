"""ffem-chain: encrypt faces in pictures, release the keys on a chain with receipts."""

__version__ = "0.1.0"
