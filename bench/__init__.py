"""Measurements of the product as it runs: `python -m bench`, or one of them by name.

Every run has its own installation in a temporary folder, started by `manage.py serve`, and takes it down again. The
process under test has one core to itself; the load, PostgreSQL, Redis and the worker share the other one. What is
compared is measured in turns within one run, and CPU time is the kernel's account of the process, not the clock's.
"""
