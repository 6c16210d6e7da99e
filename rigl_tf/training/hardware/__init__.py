"""Devices, strategies and the processes that train together."""
