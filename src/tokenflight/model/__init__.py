"""Values and pure decisions: no I/O, no clock of their own, nothing that waits."""
