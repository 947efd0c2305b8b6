"""The ways in which a run is written down."""
