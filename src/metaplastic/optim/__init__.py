"""How weights move: consolidation functions and the metaplastic optimizers."""
