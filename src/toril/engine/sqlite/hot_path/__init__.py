"""The operations that run for every job: adds, exchanges and leases."""
