"""Stores: the only storage I/O. A store keeps records under names and decides nothing."""

from tokenflight.stores.contract import Record, Store
from tokenflight.stores.memory import MemoryStore

__all__ = ["MemoryStore", "Record", "Store"]
