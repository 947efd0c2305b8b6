"""What an application holds: the manager, and what it is composed of."""
