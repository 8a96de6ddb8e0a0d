"""The ``rankgrad`` command."""

from rankgrad.cli.main import build_parser

__all__ = ["build_parser"]
