"""Results as one can look at them."""
