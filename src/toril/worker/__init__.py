"""Workers: fetch jobs, run their handlers, renew their leases, and settle them."""
