"""What a binary network is."""
