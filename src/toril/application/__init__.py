"""The application's API: the queue manager and its parts."""
