"""The provider: names, keys and clients on this side, flights on the other."""
