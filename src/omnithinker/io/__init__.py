"""Files written atomically, run logs, trackers."""
