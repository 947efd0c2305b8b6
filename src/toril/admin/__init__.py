"""Shared by the command line, the API and the page: look-up, bulk operations, documents."""
