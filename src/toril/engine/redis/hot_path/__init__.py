"""Adding, exchanging, waiting for work, renewing leases."""
