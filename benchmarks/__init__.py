"""Benchmarks: Toril beside its peers, in one run, each job counted."""
