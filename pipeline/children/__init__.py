"""Child processes: pool, framing, limits, and the stages that run in the child."""
