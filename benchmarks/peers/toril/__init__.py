"""Toril, written once for every engine: an engine's adapter only says which URL to open."""
