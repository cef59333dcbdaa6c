"""Data to ordered tasks, with what is announced about them."""
