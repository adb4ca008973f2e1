"""Several providers with manners of their own, and an endpoint whose answers are odd by path."""

from tests.doubles.odd.double import OddDouble

__all__ = ["OddDouble"]
