"""How the ledger's tables came to be: Alembic's folder, run by `nightferry.ledger.database`."""
