"""Where jobs live: one contract (base) and the engines that keep it."""
