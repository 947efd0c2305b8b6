"""Kills, stops and starves workers, and counts the jobs afterwards: `make chaos`."""
