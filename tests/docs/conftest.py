"""Notebooks take about a minute each."""


def pytest_configure(config):
    """Register the marker of tests that take long."""
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
