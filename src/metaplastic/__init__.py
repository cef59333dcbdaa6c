"""Binary neural networks that keep what they learned."""
