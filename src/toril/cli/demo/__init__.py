"""`toril demo`: real work on real files."""

from toril.cli.demo.command import demo

__all__ = ["demo"]
