-- Returns: the server's time (ms).
-- include: queue

return NOW
