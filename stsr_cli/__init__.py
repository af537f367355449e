"""stsr: spatiotemporal video super-resolution on the command line. Imports nothing: `stsr --help` must be instant."""

__version__ = "0.1.0"
