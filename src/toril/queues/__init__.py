"""The producer's side: queues, typed tasks, and handles on what was added."""
