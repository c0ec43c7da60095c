"""What rooms above may want to know of billing."""

from django.dispatch import Signal

# Sent inside the tenant, in the transaction that notes it. Argument: alert (BudgetAlert).
budget_reached = Signal()
# Sent inside the tenant when Stripe changed what it may do. Argument: account (Account).
account_changed = Signal()
