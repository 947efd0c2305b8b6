"""Connections: to one server, to a watched master, to a cluster."""
