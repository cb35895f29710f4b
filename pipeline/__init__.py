"""The engine: knows job kinds and routes only through two protocols (core.kinds, core.drivers)."""
