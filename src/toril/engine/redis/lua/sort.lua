-- Puts jobs that are ready in the lanes of their keys.
-- Returns: 1 if some are left to be put there.
-- include: queue
-- include: rates
-- include: lanes
-- include: keyed_lanes

return FIELD and sort() and 1
