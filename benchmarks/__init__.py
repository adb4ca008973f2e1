"""What each part costs, as a ratio to the least that could do the same, measured in one run: `python -m benchmarks`."""
