"""Connections to one server, to a primary watched by Sentinels, or to a cluster."""
