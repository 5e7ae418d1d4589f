"""Identity tokens: sign them, publish the keys, issue tokens to users."""
