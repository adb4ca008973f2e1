"""Stores: the only storage I/O. A store keeps records under names and decides nothing."""

from tokenflight.stores.contract import Record, SessionRecord, Store, TokenRecord
from tokenflight.stores.memory import MemoryStore

__all__ = ["MemoryStore", "Record", "SessionRecord", "Store", "TokenRecord"]
