"""Containers without their cost: a Docker engine in front of the real one, whose runner containers are forks of a warm one.

`double` is the engine, `forks` the containers behind it, `program` runs inside of them.
"""

from tests.engine.double import EngineDouble

__all__ = ["EngineDouble"]
