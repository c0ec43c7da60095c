"""Payments: customers, subscriptions, invoices and meters by the vendor's rules (2026-10-28.endive), and its two pages.

The emulator that exists as a package (localstripe) has neither Checkout, the portal nor meters, and answers in the shapes
of 2024: periods on the subscription, `invoice.subscription`, usage records. All of these are gone from the vendor's API.
"""
