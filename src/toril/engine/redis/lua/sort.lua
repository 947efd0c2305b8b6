-- Puts ready jobs into the lanes of their keys.
-- Returns: 1 if any are left.
-- include: queue
-- include: rates
-- include: lanes
-- include: keyed_lanes

return FIELD and sort() and 1
