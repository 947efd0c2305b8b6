"""The Lua scripts and the keys they use."""
