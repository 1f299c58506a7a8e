"""What a durable file is: synced, named without replacing, its unfinished parts known and swept. The one place for it.

Every writer goes the same way: an unfinished part beside the final name, written, synced, named, the folder synced. A
file whose sync failed is written anew and never synced again, for the system may have dropped the bytes and forgotten
why (`nightferry.disk.files` has the ways, the other modules what they are made of).
"""
