"""The engine: knows job kinds and routes only through two protocols (core.kinds, core.drivers)."""

__version__ = "0.1.0"
