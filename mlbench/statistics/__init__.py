"""Estimates, intervals and verdicts: pure numpy and scipy."""
