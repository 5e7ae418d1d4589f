"""Identity tokens: signing them, publishing the keys, giving them to people."""
