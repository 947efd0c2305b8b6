"""What `toril doctor` checks on Redis."""
