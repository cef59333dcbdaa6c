"""Trained model to numbers, pure."""
