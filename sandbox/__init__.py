"""Stand-ins that speak the providers' own protocols on loopback. Nothing outside sandbox/, tests/ and bench/ imports it."""
