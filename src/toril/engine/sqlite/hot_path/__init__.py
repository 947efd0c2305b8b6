"""Adding, exchanging, leases: what runs for every job."""
