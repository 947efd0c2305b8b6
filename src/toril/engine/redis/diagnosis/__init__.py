"""The checks of `toril doctor` on Redis."""
