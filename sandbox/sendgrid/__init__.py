"""E-mail: takes messages by the vendor's rules, delivers into an outbox, and tells in signed events what became of them."""
