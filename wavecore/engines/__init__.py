"""The engines that run a program: event by event, and in closed form."""
