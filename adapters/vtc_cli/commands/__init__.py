"""A file for each command: its options, its help, and what can be refused before torch is imported.

That takes seconds. The work itself is in the module of the same name beside this folder.
"""
