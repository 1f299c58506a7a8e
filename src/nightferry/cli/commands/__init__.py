"""The commands: one module for each kind of thing people do, options in, calls to what does the work.

Only what every start needs is imported at the top; the rest waits for its command, so that ``--help`` is quick.
"""
