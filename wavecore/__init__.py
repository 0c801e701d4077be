"""What one training step of a network costs on a systolic accelerator."""
