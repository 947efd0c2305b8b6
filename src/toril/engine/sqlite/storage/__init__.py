"""The file: connection, schema, transactions, syncing, waking."""
