"""Code of the fork server and of the confined children. Imports the standard library only.

The owner starts :mod:`.template` in a fresh interpreter.
"""
