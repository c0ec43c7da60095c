import os

# Before anything imports it: with lxml in the house, openpyxl would read workbooks with that instead of with defusedxml,
# and entities that expand without end are then somebody's way in.
os.environ["OPENPYXL_LXML"] = "False"
