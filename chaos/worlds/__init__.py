"""Simulated systems: each is drawn by a seed, breaks in known ways, and records what its instrumentation would.

recording = world(seed=4).record()
"""

from chaos.worlds.benign import BENIGN
from chaos.worlds.direction import FAULTS
from chaos.worlds.recording import Event, Recording
from chaos.worlds.world import World, world

__all__ = ["BENIGN", "FAULTS", "Event", "Recording", "World", "world"]
