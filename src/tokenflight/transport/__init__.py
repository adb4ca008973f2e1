"""The wire and the clock: the only network I/O there is, and the only time that is not a test's."""
