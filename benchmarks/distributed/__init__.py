"""What stages over parts cost, and what larger pools would."""
