"""What rooms above may want to know of contacts."""

from django.dispatch import Signal

# Sent in the transaction that merges two contacts. Arguments: kept_id, merged_id, moved. A receiver moves what it holds
# to the kept contact, and writes what it moved into the dict `moved`, under its own name, as JSON.
contacts_merged = Signal()
# Sent in the transaction that parts them again. Arguments: kept_id, merged_id, moved.
merge_undone = Signal()
# Sent in the transaction that deletes contacts for good. Argument: contact_ids.
contacts_purged = Signal()
