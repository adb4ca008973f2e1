"""The engine: keys, callables and clocks. It keeps one flight per key, a schedule, and the peace; it knows no OAuth."""
