"""Tasks and rewards of a recipe in other trainers: one module per trainer, which requires it only when used."""
