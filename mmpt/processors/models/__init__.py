"""Video networks under the paths that scripts of the published toolkit import them from."""
