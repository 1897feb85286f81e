"""Groups of settings that a recipe is made of."""
