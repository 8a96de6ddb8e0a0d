"""Composition of stages: text in, a ranking out."""

from rankgrad.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
