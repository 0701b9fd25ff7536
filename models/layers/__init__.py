"""Layers that compute the usual functions faster, and what is done to layers before they ship."""
