"""Language models behind one interface: neutral turns in, typed events out. No models of ours, no tenant, no pages."""
