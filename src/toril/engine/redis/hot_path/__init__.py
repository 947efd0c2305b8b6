"""The hot path: adding, exchanging, waiting for work, renewing leases."""
