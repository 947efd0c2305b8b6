"""`toril demo`: runs jobs on real files."""

from toril.cli.demo.command import demo

__all__ = ["demo"]
