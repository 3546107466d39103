"""Task metrics with intervals, and agreement with the baseline."""
