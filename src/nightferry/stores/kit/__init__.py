"""What every store over a network shares.

`sessions` has the logins of one store and who may use them, `transfers` files on their way in, `loads` files on their
way out, and `listings` which folders are entered and which names let through. A new store needs none of it, but is
spared what it would have to prove.
"""
