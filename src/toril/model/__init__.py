"""Pure data and rules: nothing in this room does I/O."""
