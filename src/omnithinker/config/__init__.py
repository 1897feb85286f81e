"""Recipes: typed, frozen settings read from TOML."""
