"""The ground floor: text, JSON and words, as every room above needs them. Knows no table and no tenant."""
