"""A library: people borrow books, and are reminded of them."""
