"""From video files to one feature vector a second: reading, networks, the run, its manifest."""
