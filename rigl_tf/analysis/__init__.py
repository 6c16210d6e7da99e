"""Measure and draw trained networks and their training."""
