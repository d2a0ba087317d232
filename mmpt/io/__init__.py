"""Reading and writing files safely: atomic replacement, restricted pickles, checkpoints."""
