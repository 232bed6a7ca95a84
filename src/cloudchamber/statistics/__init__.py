"""How a product's fleet did over time: devices online, events, calls, webhooks, connections, use of tokens."""
