"""Packed networks for other runtimes, each export verified on golden vectors when it is written."""
