"""The thin trainer: an export as a PyTorch dataset; training is transformers' Trainer (curator_trainer.train)."""

from __future__ import annotations

from curator_trainer.data import MixtureDataset

__all__ = ["MixtureDataset"]
