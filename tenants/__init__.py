"""Who shares the installation: organisations, their people, domains and numbers, and how code enters one of them."""
