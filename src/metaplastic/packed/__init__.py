"""The 1-bit network: weights as bits, normalisation as thresholds, predictions in integers."""
