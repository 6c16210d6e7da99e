"""Decide which weights are active: counts, draws, selection and patterns."""
