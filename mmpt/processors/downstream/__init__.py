"""One file a downstream data set."""
