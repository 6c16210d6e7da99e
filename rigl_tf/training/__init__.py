"""Carry decisions out, step by step, on any hardware, resumably."""
