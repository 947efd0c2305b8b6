"""Loading the Lua scripts, and naming the keys that they use."""
