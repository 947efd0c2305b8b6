"""The command line: one file a verb."""

from toril.cli.app import main

__all__ = ["main"]
