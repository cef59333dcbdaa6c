"""Faces for other frameworks, each imported by its own name and only where its package is installed."""
