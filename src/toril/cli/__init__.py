"""The command line, with one file per verb."""

from toril.cli.app import main

__all__ = ["main"]
