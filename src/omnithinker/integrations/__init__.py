"""Our tasks and rewards for other trainers: one module per trainer, each needing that trainer only when used."""
