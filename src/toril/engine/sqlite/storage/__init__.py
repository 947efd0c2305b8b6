"""The store's file: connection, schema, transactions, syncing, wake-ups."""
