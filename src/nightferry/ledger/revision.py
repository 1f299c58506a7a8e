"""What tables and plain SQL agree on: the schema's revision, and conditions that both must say in the same words."""

#: The migration that makes the tables of `nightferry.ledger.schema`.
HEAD = "0004"
#: What a person can have in hand is a file as it came, or as it stands in an archive. (SQLite uses a partial index only
#: where a query says the same in the same words, without parameters.)
DIGEST_INDEXED = "step IN ('pull', 'deliver')"
#: What is not at its end: few frames of many, so they have an index of their own.
OPEN_INDEXED = "bin IN ('held', 'failed', 'pending')"
#: Frames that we made of many, such as cubes: few, and asked for by night.
MADE_INDEXED = "made = 1"
