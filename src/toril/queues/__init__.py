"""The producer's side: queues, tasks, and handles on jobs."""
