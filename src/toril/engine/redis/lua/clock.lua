-- Reads the server's clock.
-- Returns: the time (ms).
-- include: queue

return NOW
