"""What runs in the fork server and in the confined children. Standard library only, nothing from the package.

The trusted side starts :mod:`.template` in a fresh interpreter; it shares only :mod:`.codec` with it.
"""
