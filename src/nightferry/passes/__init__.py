"""A pass: drive one telescope's nights down its route, hand work to the pools, and write the receipts.

Only a pass writes to the ledger; workers get frames and give back results.
"""
