"""People dealt out to splits, and verification pairs drawn from them."""
