"""Migrations: the ledger's tables, version by version. Each file of `versions` says what it changes."""
