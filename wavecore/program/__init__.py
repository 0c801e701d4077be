"""Programs: the commands of a core's queues, and how a plan is lowered to them."""
