"""Configurations, presets, runs and their records."""
