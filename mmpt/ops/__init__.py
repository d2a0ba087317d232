"""Heavy maths made fast: each operation has an obvious reference form and a fast one.

Nothing of the rest of the package is imported here.
"""
