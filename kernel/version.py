"""The one place that says which version of the distribution this is."""

__version__ = "0.1.0"
